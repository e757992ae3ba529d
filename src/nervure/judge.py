"""Criterion, Judgement, Target and Probe: what prune and sparsify share.

A criterion is a rule that judges units or edges of one layer at a time from the layer's weights and from
statistics of one pass over data; its verdict is a judgement. All criteria have this one shape, so they can
be compared, combined and held against random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from nervure.data.dataset import Batch, Dataset, Indices
from nervure.errors import InputError
from nervure.evidence import Figure
from nervure.objectives import Objective
from nervure.observe.borrowed import borrowed
from nervure.observe.collect import collect
from nervure.observe.statistic import Site, Statistic

__all__ = [
    "Criterion",
    "Judgement",
    "Layer",
    "Probe",
    "Ranking",
    "Samples",
    "Wanted",
    "generator_of",
    "judge",
    "layers_of",
    "rounded",
    "select",
    "settings_of",
]

Ranking = Literal["layer", "global"]
"""Whether each layer gives up the same share, or all layers are ranked together."""

_LARGEST = 308
_TENS = torch.tensor([float(10**power) for power in range(_LARGEST + 1)], dtype=torch.float64)
"""Powers of ten as near as numbers of 64 bits come, exact up to 10**22."""


@dataclass(frozen=True)
class Layer:
    """A layer under judgement.

    Parameters
    ----------
    name, module : str, Module
        The layer and its dotted name.
    units : int
        How many units it has.
    reader : Site, optional
        Where the units can be seen as the next layer reads them, after activation, norm and pooling; the
        layer's own output where that is not known.
    spread : int
        How many values of ``reader`` on axis 1 belong to one unit, in order: more than one behind a flatten.
    consumers : tuple of str
        The layers that read the units.
    """

    name: str
    module: nn.Module
    units: int
    reader: Site | None = None
    spread: int = 1
    consumers: tuple[str, ...] = ()

    @property
    def seen(self) -> Site:
        """Where the units can be seen as the next layer reads them."""
        return self.reader or Site(self.name)


@dataclass(frozen=True, eq=False)
class Judgement:
    """A criterion's verdict on one layer: higher scores stay longer.

    ``scores`` has a value a unit, or a value an edge in the weight's own shape. ``tiebreak`` decides between
    equal scores before the index does. ``drawn``, where a criterion gives it, draws what the verdict rests on: beside
    which units stay, (units,) bool, or for None before that is known.
    """

    scores: Tensor
    tiebreak: Tensor | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    drawn: Callable[[Tensor | None], tuple[Figure, ...]] | None = None

    def __post_init__(self) -> None:
        # A sum is finite only if every part is, and costs a fraction of a look at each.
        if not bool(self.scores.sum().isfinite()) and not bool(self.scores.isfinite().all()):
            raise InputError("a criterion gave scores that are NaN or infinite")
        if self.tiebreak is not None and self.tiebreak.shape != self.scores.shape:
            raise InputError("a tiebreak needs one value for each score")

    def figures(self, stays: Tensor | None = None) -> tuple[Figure, ...]:
        """What the verdict rests on, beside which units stay, (units,) bool, if that is known.

        >>> Judgement(torch.ones(2)).figures(torch.tensor([True, False]))
        ()
        """
        return () if self.drawn is None else self.drawn(stays)

    @property
    def evidence(self) -> tuple[Figure, ...]:
        """What the verdict rests on, before it is known which units stay."""
        return self.figures()


@runtime_checkable
class Probe(Protocol):
    """Evaluates masks of the network under judgement, within a budget, for criteria that must search."""

    def loss(self, keep: Mapping[str, Tensor]) -> float:
        """Mean loss with only the units left on where ``keep`` is True: (units,) bool by layer name."""
        ...


Wanted = Statistic | tuple[Site, Statistic]


class Criterion:
    """A rule that judges the units or edges of one layer.

    Subclasses write :meth:`judge`, :meth:`wants` where they need statistics, and say what else they need.
    ``comparable`` says that scores of different layers are on one scale as they are, ``needs_training`` that no look at
    a finished network can stand for the rule; ``reads_data`` is False where it is known beforehand to look at weights
    alone. :func:`judge` asks in this order: :meth:`minimising` where the objective is known and :meth:`prepare`, once;
    :meth:`wants`, :meth:`follow`, :meth:`judge` for each layer.
    """

    needs_labels: ClassVar[bool] = False
    needs_gradient: ClassVar[bool] = False
    needs_probe: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    reads_data: ClassVar[bool] = True
    comparable: ClassVar[bool] = False

    def keeping(self, folder: Path) -> Criterion:
        """A criterion that keeps what it searches in ``folder``, and goes on from there; itself unless it searches."""
        return self

    def minimising(self, objective: Objective) -> Criterion:
        """A criterion that knows what training minimises; itself unless it asks for gradients of its own."""
        return self

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> Criterion:
        """A criterion that knows what it must of the whole network; itself unless it must know something.

        For what no statistic of one layer can tell: which layers read the units, a backward pass by rules of
        its own. The network is left as it was, and so is this criterion.
        """
        return self

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:
        """Statistics that the pass must gather, by the criterion's own names: of the output, or at a site."""
        return {}

    def follow(self, layer: Layer, results: Mapping[str, object]) -> Mapping[str, Wanted]:
        """Statistics of a second pass that depend on ``results`` of the first, as counts above a quantile."""
        return {}

    def judge(
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        """The verdict on ``layer`` from its ``weights`` (by parameter name) and the wanted ``results``."""
        raise NotImplementedError


def settings_of(criterion: Criterion) -> dict[str, JsonValue]:
    """What a criterion was made with, by name: what is plain data, or has a name, as a source of masks does.

    >>> from nervure.features.masks import Otsu
    >>> made = Criterion()
    >>> made.seed, made.masks, made.rules = 3, Otsu(), {}
    >>> settings_of(made)
    {'masks': 'otsu', 'seed': 3}
    """
    plain = (bool, int, float, str, type(None))
    held = {key: value for key, value in sorted(vars(criterion).items()) if not key.startswith("_")}
    said = {key: value if isinstance(value, plain) else getattr(value, "name", ...) for key, value in held.items()}
    return {key: value for key, value in said.items() if isinstance(value, plain)}


def generator_of(seed: int, layer: str) -> torch.Generator:
    """A generator that follows from a seed and a layer's name, so that neither other layers nor their order matter.

    >>> torch.randperm(4, generator=generator_of(1, "fc")).tolist()
    [2, 3, 1, 0]
    """
    digest = hashlib.sha256(f"{seed}/{layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Samples:
    """Batches of the samples of ``ds`` at (n,) that can be read again and again; ``read`` tells whether anyone did.

    Without data there is one batch of ``example``, what the network can be traced with, for criteria that trace it
    themselves or look at shapes alone; whoever reads on wants data, which is an error. ``progress`` hears (done, all).

    >>> import numpy as np
    >>> samples = Samples(None, np.empty(0, dtype=np.int64), 8, [torch.zeros(1, 4)])
    >>> next(iter(samples)).x.shape
    torch.Size([1, 4])
    """

    def __init__(
        self,
        ds: Dataset | None,
        at: Indices,
        size: int,
        example: Sequence[Tensor],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if size < 1:
            raise InputError(f"batch = {size!r}; give a whole number from 1")
        self.ds, self.at, self.size, self.example, self.progress = ds, at, size, example, progress
        self.read = False

    def __iter__(self) -> Iterator[Batch]:
        if self.ds is None:
            if len(self.example) > 1:
                raise InputError(f"this criterion runs the network, which reads {len(self.example)} tensors, not one")
            yield Batch(self.example[0], None, torch.arange(len(self.example[0])))
            raise InputError("this criterion looks at what the network does with data, not at weights alone; give data")
        self.read = True
        for start in range(0, len(self.at), self.size):
            yield self.ds.batch(self.at[start : start + self.size])
            if self.progress is not None:
                self.progress(min(start + self.size, len(self.at)), len(self.at))


def layers_of(net: nn.Module) -> tuple[Layer, ...]:
    """Every linear and convolution layer, in the order of the network's own modules.

    >>> [layer.name for layer in layers_of(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))]
    ['0', '2']
    """
    return tuple(
        Layer(name, module, module.out_features if isinstance(module, nn.Linear) else module.out_channels)
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    )


def judge(
    net: nn.Module,
    batches: Iterable[Batch],
    criteria: Mapping[str, Criterion],
    *,
    layers: Sequence[Layer] | None = None,
    objective: Objective | None = None,
    probe: Probe | None = None,
    device: torch.device | str | None = None,
) -> dict[str, dict[str, Judgement]]:
    """Judge layers by several criteria in one pass over data, and a second for those that follow its results.

    Parameters
    ----------
    net : Module
        Left as it was.
    batches : iterable of Batch
        What the pass sees; not read at all if no criterion wants anything of the data. Read more than once
        for criteria that prepare or follow, so then a list or a loader.
    criteria : mapping of str to Criterion
        By any name.
    layers : sequence of Layer, optional
        Which layers; all linear and convolution layers otherwise.
    objective, probe : callable, Probe, optional
        For criteria that need gradients, or search.
    device : optional
        Where to judge; by default where the network is.

    Returns
    -------
    dict of str to dict of str to Judgement
        By criterion, then by layer.
    """
    layers = layers_of(net) if layers is None else layers
    batches = _readable(batches)
    if objective is not None:
        criteria = {name: criterion.minimising(objective) for name, criterion in criteria.items()}
    with borrowed(net, device):
        return _judged(net, batches, criteria, layers, objective, probe)


def _judged(
    net: nn.Module,
    batches: Iterable[Batch],
    criteria: Mapping[str, Criterion],
    layers: Sequence[Layer],
    objective: Objective | None,
    probe: Probe | None,
) -> dict[str, dict[str, Judgement]]:
    """The verdicts, where the network is."""
    criteria = {name: criterion.prepare(net, batches, layers) for name, criterion in criteria.items()}
    pairs = [(name, layer) for name in criteria for layer in layers]
    asked = {(name, layer.name): dict(criteria[name].wants(layer)) for name, layer in pairs}
    found = _gathered(net, batches, asked, objective)
    asked = {(name, layer.name): dict(criteria[name].follow(layer, found[name, layer.name])) for name, layer in pairs}
    again = _gathered(net, batches, asked, objective)
    verdicts: dict[str, dict[str, Judgement]] = {name: {} for name in criteria}
    for name, layer in pairs:
        results = {**found[name, layer.name], **again[name, layer.name]}
        weights = {key: value.detach() for key, value in layer.module.named_parameters(recurse=False)}
        verdicts[name][layer.name] = criteria[name].judge(layer, weights, results, probe)
    return verdicts


def _gathered(
    net: nn.Module,
    batches: Iterable[Batch],
    asked: Mapping[tuple[str, str], Mapping[str, Wanted]],
    objective: Objective | None,
) -> dict[tuple[str, str], dict[str, object]]:
    """The results of one pass by criterion and layer; no pass if nothing is wanted."""
    placed = {pair: {own: _at(one, pair[1]) for own, one in wanted.items()} for pair, wanted in asked.items()}
    sites: dict[str | Site, list[Statistic]] = {}
    for wanted in placed.values():
        for site, statistic in wanted.values():
            sites.setdefault(site, []).append(statistic)
    seen = collect(net, batches, sites, objective=objective) if sites else {}
    return {
        pair: {own: seen[site][statistic.key].result() for own, (site, statistic) in wanted.items()}
        for pair, wanted in placed.items()
    }


class _Once:
    """An iterator given as batches; says so when it is to be read again."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches: Iterable[Batch] | None = batches

    def __iter__(self) -> Iterator[Batch]:
        if self._batches is None:
            raise InputError("the criteria read the batches more than once; give a list or a loader, not an iterator")
        batches, self._batches = self._batches, None
        return iter(batches)


def _readable(batches: Iterable[Batch]) -> Iterable[Batch]:
    return _Once(batches) if isinstance(batches, Iterator) else batches


def _at(wanted: Wanted, layer: str) -> tuple[Site, Statistic]:
    return wanted if isinstance(wanted, tuple) else (Site(layer), wanted)


def select(scores: Tensor, keep: int, tiebreak: Tensor | None = None) -> Tensor:
    """Positions of the ``keep`` best of ``scores`` (units,), ascending: spec majority-voting-pruning, 0.3.

    Scores are compared at five significant digits, then by ``tiebreak`` (likewise), then by index, so that
    the decision does not hang on the last bit.

    >>> select(torch.tensor([1.0, 3.0, 1.0000001, 2.0]), 3)
    tensor([0, 1, 3])
    """
    if not 0 <= keep <= scores.numel():
        raise InputError(f"cannot keep {keep} of {scores.numel()} units")
    rows = [torch.arange(scores.numel())]
    if tiebreak is not None:
        rows.append(-rounded(tiebreak))
    rows.append(-rounded(scores))
    order = torch.arange(scores.numel())
    for row in rows:
        order = order[torch.argsort(row[order], stable=True)]
    return order[:keep].sort().values


def rounded(values: Tensor, digits: int = 5) -> Tensor:
    """``values`` at so many significant digits, (n,) float64 on the CPU: what decisions compare.

    Powers of ten are exact and divide where they are above one, so that values that are equal at these digits are equal
    to the last bit, whichever side of a power of ten they lie on.

    >>> rounded(torch.tensor([123456.0, 0.0, 0.9999996])).tolist()
    [123460.0, 0.0, 1.0]
    """
    wide = values.detach().flatten().to(device="cpu", dtype=torch.float64)
    size = torch.where(wide == 0, torch.ones_like(wide), wide.abs()).log10().floor()
    power = (digits - 1 - size).nan_to_num(0.0).clamp(-_LARGEST, _LARGEST).to(torch.int64)
    tens = _TENS[power.abs()]
    return torch.where(power >= 0, (wide * tens).round() / tens, (wide / tens).round() * tens)
