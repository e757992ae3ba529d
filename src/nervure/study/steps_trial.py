"""The trial ``prune-steps``: layer by layer, judge the network as it has become, cut, recover; then train, if asked.

Source: spec majority-voting-pruning, 11 (Algorithm 4) and 10 (kernel estimation against fine-tuning, Table 6.9).
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import nn

from nervure import nets, prune
from nervure.data import Dataset
from nervure.judge import Layer
from nervure.prune.criteria import make
from nervure.prune.recover.recovery import pick
from nervure.prune.training import cut_layer
from nervure.study.asked import accuracy, cost_of, measured_on, numbered, widths
from nervure.study.base import base_of
from nervure.study.settings import FromBase, OfLayers
from nervure.study.trials import Job, Measured
from nervure.train import Recipe, fit

__all__ = ["StepsSettings", "steps_trial"]


class StepsSettings(FromBase, OfLayers):
    """What the trial ``prune-steps`` is told beside its base and which layers.

    Parameters
    ----------
    criterion, criterion_options, samples
        As for the trial ``prune``.
    keep : float or list of int
        A share of each layer, or a width for each.
    whole : list of int
        The units that widths in ``keep`` were meant for, where a network is narrower.
    label : str
        As for the trial ``prune-ablation``.
    judged : str
        ``"current"``: each layer on the network as it has become; ``"original"``: on the base.
    recover : str
        ``"kernel-estimation"``, acting on the layers that read the one just cut; ``"fine-tune"`` of the whole network
        on the same samples; ``"none"``.
    recover_options, recover_samples : dict, int
        Options of the method, and how many training samples it reads.
    tune_steps : int
        How many optimizer steps a fine-tuning takes, in whole epochs of those samples.
    final : dict, optional
        A recipe for the last training of the whole network.
    scratch : bool
        Train a network of the cut one's shape from new weights by ``final``, as a control.
    each : bool
        Whether to measure accuracy before and after each recovery, on test; nothing is chosen by it.
    test_samples : int, optional
        How many samples of test are measured on; all by default.
    """

    trial: ClassVar[str] = "prune-steps"

    criterion: str = "iou-vote"
    criterion_options: dict[str, object] = Field(default_factory=dict)
    keep: float | tuple[int, ...] = 0.5
    whole: tuple[int, ...] = ()
    label: Literal["producer", "consumer"] = "producer"
    judged: Literal["current", "original"] = "current"
    samples: int = Field(100, ge=1)
    recover: Literal["kernel-estimation", "fine-tune", "none"] = "kernel-estimation"
    recover_options: dict[str, Any] = Field(default_factory=dict)
    recover_samples: int = Field(200, ge=1)
    tune_steps: int = Field(200, ge=1)
    final: dict[str, object] | None = None
    scratch: bool = False
    each: bool = True
    test_samples: int | None = Field(None, ge=1)


def steps_trial(job: Job) -> Measured:
    """Cut the layers of a base one after another, and measure.

    Measures: ``before layer N`` and ``after layer N`` of each recovery, ``seconds`` of the last one; ``accuracy`` and
    ``error`` at the end and ``accuracy_base``, ``error_base``; ``macs``, ``flops`` (two for a multiply-add),
    ``parameters`` and the first two's shares.
    """
    settings = StepsSettings.read(job.settings)
    run, ds = base_of(job, settings.run, settings.base)
    ds = measured_on(ds, settings.test_samples)
    _, layers = numbered(run.net, ds, settings.kind, settings.first, settings.count)
    counts = widths(settings.keep, layers, settings.whole)
    metrics = {"accuracy_base": accuracy(run.net, ds, device=job.device)}
    durations = {"score": 0.0, "recover": 0.0}
    net, kept = run.net, dict[str, tuple[int, ...]]()
    for number, layer in layers.items():
        shown = number + (settings.label == "consumer")
        begun, before = time.perf_counter(), net
        net = _cut(run.net if settings.judged == "original" else net, net, ds, layer.name, counts, kept, settings, job)
        durations["score"] += time.perf_counter() - begun
        if settings.each:
            metrics[f"before layer {shown}"] = accuracy(net, ds, device=job.device)
        begun = time.perf_counter()
        net = _recovered(net, before, run.net, ds, layer, kept, settings, job)
        metrics["seconds"] = time.perf_counter() - begun
        durations["recover"] += metrics["seconds"]
        if settings.each:
            metrics[f"after layer {shown}"] = accuracy(net, ds, device=job.device)
    if settings.scratch:
        net = cut_layer(nets.renewed(run.net, job.seed + 1), kept, ds.batch(ds.indices("train")[:3]).x)
    if settings.final is not None:
        begun = time.perf_counter()
        net = fit(net, ds, Recipe.of({**settings.final, "seed": job.seed}), device=job.device).net
        durations["tune"] = time.perf_counter() - begun
    metrics["accuracy"] = accuracy(net, ds, device=job.device)
    metrics |= {f"error{name}": 1 - metrics[f"accuracy{name}"] for name in ("", "_base")}
    cost = cost_of(run.net, net, ds.in_shape)
    return Measured(metrics | cost | {"flops": 2 * cost["macs"]}, durations)


def _cut(
    judged: nn.Module, net: nn.Module, ds: Dataset, layer: str, counts: dict[str, int],
    kept: dict[str, tuple[int, ...]], settings: StepsSettings, job: Job,
) -> nn.Module:  # fmt: skip
    """``net`` with one layer cut; which of the base's units it keeps is noted in ``kept``."""
    plan = prune.plan(
        judged,
        ds,
        make(settings.criterion, job.seed, settings.criterion_options),
        prune.Target(keep={layer: counts[layer]}),
        samples=settings.samples,
        seed=job.seed,
        device=job.device,
    )
    if layer not in plan.kept:
        return net
    kept[layer] = plan.kept[layer]
    if judged is net:
        return plan.apply(net)
    return cut_layer(net, {layer: kept[layer]}, ds.batch(ds.indices("train")[:3]).x)


def _recovered(
    net: nn.Module, before: nn.Module, base: nn.Module, ds: Dataset, layer: Layer, kept: dict[str, tuple[int, ...]],
    settings: StepsSettings, job: Job,
) -> nn.Module:  # fmt: skip
    if settings.recover == "none" or layer.name not in kept:
        return net
    if settings.recover == "fine-tune":
        at = pick(ds, settings.recover_samples, job.seed)
        few = dataclasses.replace(ds, splits={"train": at, "test": np.empty(0, dtype=np.int64)})
        usual = {"batch": 32, "optimizer": "sgd", "lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4, "keep": "last"}
        recipe = {**usual, **settings.recover_options}
        epochs = max(1, round(settings.tune_steps / math.ceil(len(at) / int(recipe["batch"]))))
        return fit(net, few, Recipe.of({"epochs": epochs, **recipe, "seed": job.seed}), device=job.device).net
    return prune.recover(
        net, base, ds, method=settings.recover, kept=kept, current=before, samples=settings.recover_samples,
        seed=job.seed, layers=layer.consumers, device=job.device, **settings.recover_options,
    )  # fmt: skip
