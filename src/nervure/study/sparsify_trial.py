"""The trials of sparsifying: one criterion at many rates on a trained network, and one method while training."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from nervure import nets, sparsify
from nervure.cluster.runs import by_its_clusters
from nervure.data import Dataset
from nervure.export import compare_latency
from nervure.sparsify.layers import prunable, weight_of
from nervure.sparsify.runs import trained_mask
from nervure.sparsify.size import stored_bytes
from nervure.sparsify.times import LayerTime, TimeTable, this_machine
from nervure.study.asked import Beside, measured_on, told
from nervure.study.base import base_of
from nervure.study.settings import FromRun, TrainSettings
from nervure.study.train_trial import training_data
from nervure.study.trials import Job, Measured
from nervure.train import Recipe, fit, predict

__all__ = [
    "SparsifySettings", "TrainingSettings", "by_edges", "hits", "sparsify_trial", "training_trial",
]  # fmt: skip

IMAGES = 10_000
"""Seconds of classification are given for so many samples, as in spec isparse, 4."""

# A trained weight is never exactly zero; below this it counts as one (spec isparse, 2.10).
_NEAR_ZERO = 1e-3


class SparsifySettings(FromRun):
    """What the trial ``sparsify`` is told beside the network that loses edges.

    Parameters
    ----------
    criterion, options : str, dict
        A name of ``nervure.sparsify.criteria``, and its settings.
    sparsity : tuple of float
        Shares of edges to remove; measures end in the share, such as ``accuracy 0.5``.
    plan : dict
        Further arguments of :func:`nervure.sparsify.plan`: ``ranking``, ``order``, ``exclude``, ...
    samples, test_samples : int
        How many training samples are looked at, and how many are measured on, at most.
    beside : dict of Beside
        Whose masks the mask is held against: ``agreement KEY 0.5`` is the share of edges on which both agree.
    seconds : bool
        Whether to time 10,000 samples, dense kernels and dense layers by their edges, beside the dense network.
    batch : int
        Samples at a time when timed.
    """

    trial: ClassVar[str] = "sparsify"

    criterion: str = "isparse"
    options: dict[str, object] = Field(default_factory=dict)
    sparsity: tuple[float, ...] = Field((0.5,), min_length=1)
    plan: dict[str, Any] = Field(default_factory=dict)
    samples: int = Field(2000, ge=1)
    test_samples: int | None = Field(None, ge=1)
    beside: dict[str, Beside] = Field(default_factory=lambda: {"magnitude": Beside()})
    seconds: bool = False
    batch: int = Field(100, ge=1)


class TrainingSettings(TrainSettings):
    """What the trial ``sparsify-training`` is told: as the trial ``train``, and how the network loses edges meanwhile.

    Parameters
    ----------
    method : str
        A name of ``nervure.sparsify.criteria``, or ``"none"`` for the dense network.
    sparsity : tuple of float
        Shares of edges to remove, each in a training of its own; measures end in the share, such as ``accuracy 0.5``.
        The dense network and ``l1`` take none, and are trained once.
    settings, options : dict, dict
        Settings of the criterion; further ones of :func:`nervure.sparsify.train_with`.
    share_epochs : bool
        For ``lottery``: whether its trainings share the recipe's epochs, in place of taking as many each.
    test_samples : int, optional
        How many samples are measured on, at most.
    """

    trial: ClassVar[str] = "sparsify-training"

    method: str = "isparse"
    sparsity: tuple[float, ...] = ()
    settings: dict[str, object] = Field(default_factory=dict)
    options: dict[str, object] = Field(default_factory=dict)
    share_epochs: bool = False
    test_samples: int | None = Field(None, ge=1)


def sparsify_trial(job: Job) -> Measured:
    """Remove edges of one trained network by one criterion, at each rate from the whole network, and measure.

    The seed draws the samples that criteria see, and random masks. Accuracy of a clusterer is its agreement with the
    dense one: the share of samples in the same cluster.
    """
    given = SparsifySettings.read(job.settings)
    run, ds = base_of(job, given.run, given.base, given.build, weights=given.weights, fingerprint=given.fingerprint)
    if run.task == "clustering":
        ds = by_its_clusters(run, ds, device=job.device)
    ds = measured_on(ds, given.test_samples)
    net = run.net
    before = hits(net, ds, job.device)
    metrics = {f"{name}_base": value for name, value in before.items()}
    metrics |= {"bytes_base": float(stored_bytes(net)), "zeros_base": _near_zero(net)}
    # Others judge all layers in the dense network, so that an order can be held against that.
    usual = {name: value for name, value in given.plan.items() if name != "order"}
    spent = {"select": 0.0, "measure": 0.0}
    for rate in given.sparsity:
        begun = time.perf_counter()
        mask = _mask(job, given, net, ds, given.criterion, given.options, rate, given.plan)
        chosen = time.perf_counter()
        thin = mask.bake(net)
        found = hits(thin, ds, job.device)
        found |= {f"{name}_drop": before[name] - value for name, value in found.items()}
        found |= {"sparsity": mask.sparsity, "bytes": float(stored_bytes(thin))}
        for key, other in given.beside.items():
            asked = other.criterion or key, other.options
            own = asked == (given.criterion, given.options) and usual == given.plan
            same = mask if own else _mask(job, given, net, ds, *asked, rate, usual)
            found[f"agreement {key}"] = mask.compare(same).whole
        if given.seconds:
            found |= _seconds(net, thin, ds, given.batch)
        metrics |= {f"{name} {rate:g}": value for name, value in found.items()}
        spent["select"] += chosen - begun
        spent["measure"] += time.perf_counter() - chosen
    return Measured(metrics, spent)


def training_trial(job: Job) -> Measured:
    """Train a network while it loses edges by one method, and measure what is handed over, on the test split.

    The weights that training starts from, the order of samples and the choice of random edges follow the seed.
    """
    given = TrainingSettings.read(job.settings)
    ds = measured_on(training_data(job, given.train_samples), given.test_samples)
    recipe = Recipe.of({**given.recipe, "seed": job.seed})
    net = nets.build(given.net, ds, seed=job.seed, **given.net_options)
    metrics = {"train_samples": float(len(ds.indices("train")))}
    spent = 0.0
    for rate in (None,) if given.method in ("none", "l1") else given.sparsity:
        begun = time.perf_counter()
        done = _trained(job, given, net, ds, recipe, rate)
        spent += time.perf_counter() - begun
        found = hits(done, ds, job.device)
        found |= {"sparsity": trained_mask(done).sparsity, "bytes": float(stored_bytes(sparsify.bake(done)))}
        metrics |= {name if rate is None else f"{name} {rate:g}": value for name, value in found.items()}
    return Measured(metrics, {"train": spent})


def _trained(
    job: Job, given: TrainingSettings, net: nn.Module, ds: Dataset, recipe: Recipe, rate: float | None
) -> nn.Module:
    fitting: dict[str, Any] = {"device": job.device}
    options: dict[str, Any] = dict(given.options)
    if given.method == "none":
        return fit(net, ds, recipe, **fitting).net
    if given.method == "lottery" and given.share_epochs:
        rounds = int(str(given.settings.get("rounds", 3)))
        parts = [max(1, (recipe.epochs + turn) // (rounds + 1)) for turn in range(rounds + 1)]
        each = [recipe.model_copy(update={"epochs": epochs}) for epochs in parts]
        return sparsify.lottery(net, ds, rate, each.__getitem__, rounds=rounds, **options, **fitting).net
    return sparsify.train_with(
        net, ds, given.method, rate, recipe, settings=given.settings, fit_options=fitting, **options
    ).net


def hits(net: nn.Module, ds: Dataset, device: str = "auto") -> dict[str, float]:
    """Top-1 and top-5 accuracy on the test split, as shares; top-5 of ten classes and more.

    >>> from nervure import data
    >>> ds = data.load("digits")
    >>> sorted(hits(nets.build("mlp", ds, widths=[8]), ds, "cpu"))
    ['accuracy', 'top5']
    """
    at, labels = told(net, ds)
    scores = predict(net, ds, at, device=device)
    found = {"accuracy": float(np.mean(scores.argmax(1) == labels))}
    if ds.classes >= 10:
        best = np.argpartition(scores, -5, axis=1)[:, -5:]
        found["top5"] = float(np.mean((best == labels[:, None]).any(1)))
    return found


def by_edges(net: nn.Module, example: Tensor) -> nn.Module:
    """The network with every dense layer computed by its edges, whether that is faster or not.

    >>> net = nn.Sequential(nn.Linear(4, 2)).requires_grad_(False)
    >>> net[0].weight[:, 1:] = 0
    >>> by_edges(net, torch.zeros(2, 4))[0]
    SparseLinear(in=4, out=2, edges=2)
    """
    rows = tuple(
        LayerTime(
            layer=name, shape=(module.out_features, module.in_features),
            zeros=float(module.weight.detach().eq(0).double().mean()), ratio=0.0,
        )
        for name, module in net.named_modules() if type(module) is nn.Linear
    )  # fmt: skip
    table = TimeTable(rows=rows, machine=this_machine(), threads=torch.get_num_threads(), batch=len(example), runs=30)
    return sparsify.sparse(net, example, table=table)


def _mask(
    job: Job, given: SparsifySettings, net: nn.Module, ds: Dataset, criterion: str, options: dict[str, object],
    rate: float, terms: dict[str, Any],
) -> sparsify.Mask:  # fmt: skip
    how: dict[str, Any] = {**terms, **options}
    return sparsify.plan(net, ds, criterion, rate, samples=given.samples, seed=job.seed, device=job.device, **how)


def _seconds(net: nn.Module, thin: nn.Module, ds: Dataset, batch: int) -> dict[str, float]:
    """Seconds for 10,000 samples on one thread of the CPU: the dense network, with zeros, and by its edges."""
    example = ds.batch(ds.indices("test")[:1]).x
    example = example.expand(batch, *example.shape[1:]).contiguous()
    which = {"dense": net, "zeros": thin, "edges": by_edges(thin, example)}
    found = compare_latency(which, example, batch=batch, threads=1)
    return {f"seconds_{name}": IMAGES / batch * timing.median for name, timing in found.items()}


def _near_zero(net: nn.Module) -> float:
    """The share of a network's weights that are as good as zero."""
    weights = [weight_of(module).detach() for module in prunable(net).values()]
    return sum(int((one.abs() < _NEAR_ZERO).sum()) for one in weights) / sum(one.numel() for one in weights)
