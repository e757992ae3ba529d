"""The trials of pruning: one criterion at one target, many of them, and how far criteria agree."""

from __future__ import annotations

import itertools
import time
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from torch import nn

from nervure import nets, prune
from nervure.data import Dataset, batches
from nervure.export import compare_latency
from nervure.judge import judge
from nervure.objectives import objective_of
from nervure.prune.criteria import make
from nervure.prune.recover import recover
from nervure.prune.scores import sample
from nervure.store import Run
from nervure.study.asked import Asked, measured_on
from nervure.study.base import base_of
from nervure.study.settings import FromBase, FromRun
from nervure.study.trials import Job, Measured
from nervure.train import Recipe, evaluate, fit
from nervure.train.runtime import pick_device

__all__ = [
    "AgreementSettings", "CriteriaSettings", "PruneSettings", "agreement_trial", "criteria_trial", "prune_trial",
]  # fmt: skip


class CutSettings(FromBase):
    """How a network is cut, recovered and trained, whatever the criterion.

    Parameters
    ----------
    target : dict
        Fields of :class:`nervure.prune.Target`.
    plan : dict
        Further arguments of :func:`nervure.prune.plan`: ``ranking``, ``shortcuts``, ``exclude``, ...
    samples : int
        How many training samples criteria see.
    recover, recover_samples, recover_options : list of str, int, dict
        Methods of recovery, in order, how many samples they read, and their settings.
    tune : dict, optional
        A recipe for training afterwards.
    """

    target: dict[str, Any] = Field(default_factory=lambda: {"keep": 0.5})
    plan: dict[str, Any] = Field(default_factory=dict)
    samples: int = Field(1000, ge=1)
    recover: tuple[str, ...] = ("kernel-estimation", "batch-norm")
    recover_samples: int = Field(200, ge=1)
    recover_options: dict[str, Any] = Field(default_factory=dict)
    tune: dict[str, object] | None = None


class PruneSettings(CutSettings, FromRun):
    """What the trial ``prune`` is told beside its base and how that is cut.

    Parameters
    ----------
    criterion, criterion_options : str, dict
        A name of ``nervure.prune.criteria``, and its settings. ``seed`` is the trial's, where the criterion has one.
    scratch : bool
        Train a network of the cut one's shape from new weights by ``tune``, as a control; nothing is recovered.
    latency : bool
        Whether to measure latency beside the uncut network's.
    """

    trial: ClassVar[str] = "prune"

    criterion: str = "l1"
    criterion_options: dict[str, object] = Field(default_factory=dict)
    scratch: bool = False
    latency: bool = True


class CriteriaSettings(CutSettings):
    """What the trial ``prune-criteria`` is told: as :class:`PruneSettings`, with criteria by a name of one's own."""

    trial: ClassVar[str] = "prune-criteria"

    criteria: dict[str, Asked] = Field(min_length=1)
    test_samples: int | None = Field(None, ge=1)


class AgreementSettings(FromRun):
    """What the trial ``prune-agreement`` is told: names of criteria, and how many training samples these see."""

    trial: ClassVar[str] = "prune-agreement"

    criteria: tuple[str, ...] = Field(min_length=1)
    samples: int = Field(1000, ge=1)


def prune_trial(job: Job) -> Measured:
    """Prune the base by one criterion and measure it before and after recovery, on the test split.

    The seed draws the samples that criteria and recovery see, and the choice of random criteria.
    """
    settings = PruneSettings.read(job.settings)
    run, ds = _base(job, settings)
    base = {f"{name}_base": value for name, value in _quality(run.net, ds, job).items()}
    found = _pruned(job, run, ds, settings)
    return Measured({**base, **found.metrics}, found.durations)


def criteria_trial(job: Job) -> Measured:
    """Prune one base by many criteria to one size, one after the other in one process, and measure each.

    Each measure is called ``MEASURE CRITERION``, such as ``accuracy_recovered l1``; of a criterion that draws, it is
    the mean over the draws. All share base, target, samples and recovery; the seed is that of :func:`prune_trial`.
    """
    settings = CriteriaSettings.read(job.settings)
    run, ds = base_of(job, settings.run, settings.base)
    ds = measured_on(ds, settings.test_samples)
    metrics = {f"{name}_base": value for name, value in _quality(run.net, ds, job).items()}
    durations: dict[str, float] = {}
    common = settings.model_dump(exclude={"criteria", "test_samples"}, mode="json")
    for key, asked in settings.criteria.items():
        draws = []
        for draw in range(asked.draws):
            options = {**asked.options, **({"seed": job.seed + 1000 * draw} if asked.draws > 1 else {})}
            how = {**common, "criterion": asked.criterion or key, "criterion_options": options, "latency": False}
            draws.append(_pruned(job, run, ds, PruneSettings.read(how)))
        for name in draws[0].metrics:
            metrics[f"{name} {key}"] = sum(one.metrics[name] for one in draws) / len(draws)
        durations |= {f"{name} {key}": value for name, value in draws[0].durations.items()}
    return Measured(metrics, durations)


def _pruned(job: Job, run: Run, ds: Dataset, settings: PruneSettings) -> Measured:
    """Plan, cut, recover and train as the settings say, and measure after each."""
    laps = {"start": time.perf_counter()}
    plan = prune.plan(
        run.net,
        ds,
        make(settings.criterion, job.seed, settings.criterion_options),
        prune.Target(**settings.target),
        samples=settings.samples,
        seed=job.seed,
        device=job.device,
        **settings.plan,
    )
    laps["select"] = time.perf_counter()
    small = plan.apply(nets.renewed(run.net, job.seed + 1, settings.build) if settings.scratch else run.net)
    laps["apply"] = time.perf_counter()
    measured = {"pruned": _quality(small, ds, job)}
    laps["measure"] = time.perf_counter()
    if settings.recover and not settings.scratch:
        how = {"samples": settings.recover_samples, "device": job.device, **settings.recover_options}
        small = recover(small, run.net, ds, method=settings.recover, kept=plan, seed=job.seed, **how)
        laps["recover"] = time.perf_counter()
        measured["recovered"] = _quality(small, ds, job)
    if settings.tune is not None:
        recipe = Recipe.of({**settings.tune, "seed": job.seed})
        small = fit(small, ds, recipe, device=job.device).net
        laps["tune"] = time.perf_counter()
        measured["tuned"] = _quality(small, ds, job)
    metrics = {f"{name}_{stage}": value for stage, found in measured.items() for name, value in found.items()}
    metrics |= {
        "parameters": float(plan.params_after),
        "macs": float(plan.macs_after),
        "parameters_share": plan.params_after / plan.params_before,
        "macs_share": plan.macs_after / plan.macs_before,
    }
    if settings.latency:
        metrics |= _latency(run.net, small, ds)
    times = list(laps.items())
    durations = {name: end - start for (_, start), (name, end) in itertools.pairwise(times)}
    return Measured(metrics, durations)


def agreement_trial(job: Job) -> Measured:
    """Kendall's tau of each pair of criteria, as the mean over layers of their order of units, from one pass.

    Where a criterion calls all units of a layer alike, its tau with any other is 0.
    """
    from scipy.stats import kendalltau

    settings = AgreementSettings.read(job.settings)
    run, ds = _base(job, settings)
    example = ds.batch(ds.indices("train")[:3]).x
    layers = [layer for layer in prune.layers(run.net, example) if layer.units > 1]
    wanted = {name: make(name, job.seed) for name in settings.criteria}
    at = sample(ds, settings.samples, job.seed)
    seen, place = list(batches(ds.subset(at), None, 128)), pick_device(job.device)
    loss = objective_of(ds.task) if any(one.needs_gradient for one in wanted.values()) else None
    judged = judge(run.net, seen, wanted, layers=layers, objective=loss, device=place)
    tau = {f"tau {a} {b}": 1.0 for a in wanted for b in wanted}
    for a, b in itertools.combinations(wanted, 2):
        pairs = [[judged[name][layer.name].scores.detach().double().cpu() for name in (a, b)] for layer in layers]
        each = [kendalltau(*pair).statistic for pair in pairs]
        tau[f"tau {a} {b}"] = tau[f"tau {b} {a}"] = float(np.mean(np.nan_to_num(each)))
    return Measured(tau)


def _base(job: Job, settings: FromRun) -> tuple[Run, Dataset]:
    return base_of(
        job, settings.run, settings.base, settings.build, weights=settings.weights, fingerprint=settings.fingerprint
    )


def _quality(net: nn.Module, ds: Dataset, job: Job) -> dict[str, float]:
    found = evaluate(net, ds, device=job.device).metrics
    share = {"error": 1 - found["accuracy"]} if "accuracy" in found else {}
    return {**{name: value for name, value in found.items() if name not in {"parameters", "macs"}}, **share}


def _latency(net: nn.Module, small: nn.Module, ds: Dataset) -> dict[str, float]:
    """Median milliseconds of both networks, in turn, at batch 32 and one thread, and their ratio."""
    example = ds.batch(ds.indices("test")[:1]).x
    found = compare_latency({"base": net, "small": small}, example, batch=32, threads=1)
    return {
        "latency_ms_base": 1e3 * found["base"].median,
        "latency_ms": 1e3 * found["small"].median,
        "speedup": found["base"].median / found["small"].median,
    }
