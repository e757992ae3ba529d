"""What trials of pruning share: their settings, the criteria they ask, and how layers are numbered."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from nervure.data import Dataset
from nervure.data.dataset import Indices
from nervure.errors import InputError
from nervure.judge import Criterion, Layer
from nervure.nets.structure.layers import examine, layers_in
from nervure.nets.structure.surgery import Graph
from nervure.prune.criteria import make
from nervure.train import predict

__all__ = ["Asked", "Kind", "TrialSettings", "accuracy", "chosen_of", "measured_on", "numbered", "told", "widths"]

Kind = Literal["conv", "dense", "all"]
Widths = float | tuple[int, ...]


class TrialSettings(BaseModel):
    """Settings of a trial, read from JSON; an error names the trial and the field.

    >>> class Mine(TrialSettings):
    ...     trial = "mine"
    ...     keep: float = 0.5
    >>> Mine.read({"keep": "much"})
    Traceback (most recent call last):
    nervure.errors.InputError: trial 'mine': keep: Input should be a valid number, unable to parse string as a number
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    trial: ClassVar[str] = ""

    @classmethod
    def read(cls, settings: dict[str, object]) -> Self:
        """From JSON settings."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"trial {cls.trial!r}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


class Asked(TrialSettings):
    """One criterion of several: its name in ``nervure.prune.criteria``, its settings, and how often it draws.

    Without ``criterion`` the key under which it stands is the name. Of a criterion that draws, ``draws`` are made
    with different seeds, and their mean is measured.

    >>> Asked(draws=3).options
    {}
    """

    trial: ClassVar[str] = "criteria"

    criterion: str = ""
    options: dict[str, object] = Field(default_factory=dict)
    draws: int = Field(1, ge=1)

    def made(self, key: str, seed: int) -> list[Criterion]:
        """The criterion, once a draw."""
        return [make(self.criterion or key, seed + 1000 * draw, self.options) for draw in range(self.draws)]


def numbered(
    net: nn.Module, ds: Dataset, kind: Kind = "conv", first: int = 1, count: int | None = None
) -> tuple[Graph, dict[int, Layer]]:
    """The layers that can be cut alone, by their number among those of the kind, in the order of calls.

    Layers whose outputs are added to others' take no part, so of a residual network only inner ones are counted.

    Parameters
    ----------
    net, ds : Module, Dataset
        A network, and data to trace it with.
    kind : str
        ``"conv"``, ``"dense"``, or ``"all"``.
    first, count : int
        From which number on, and how many layers; all by default.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> graph, layers = numbered(nv.nets.build("mlp", ds, widths=[8, 6, 4]), ds, "dense", first=2)
    >>> [(number, layer.name, layer.units) for number, layer in layers.items()]
    [(2, 'classifier.2', 6), (3, 'classifier.4', 4)]
    """
    graph = examine(net, ds.batch(ds.indices("train")[:3]).x)
    alone = [group for group in graph.free if len(group.layers) == 1 and not group.shortcut]
    return graph, chosen_of(net, layers_in(net, graph, alone), kind, first, count)


def chosen_of(net: nn.Module, layers: Sequence[Layer], kind: Kind, first: int, count: int | None) -> dict[int, Layer]:
    """The layers of a kind, by their number among them: ``count`` from ``first`` on.

    >>> some = [Layer("a", nn.Linear(1, 2), 2), Layer("b", nn.Conv2d(1, 3, 1), 3)]
    >>> [(number, layer.name) for number, layer in chosen_of(nn.Identity(), some, "conv", 1, None).items()]
    [(1, 'b')]
    """
    kinds: dict[str, tuple[type[nn.Module], ...]] = {"conv": (nn.Conv1d, nn.Conv2d), "dense": (nn.Linear,)}
    found = [one for one in layers if kind == "all" or isinstance(one.module, kinds[kind])]
    chosen = list(enumerate(found, start=1))[first - 1 : None if count is None else first - 1 + count]
    if not chosen:
        raise InputError(f"{type(net).__name__} has no layer of kind {kind!r} from number {first} on that can be cut")
    return dict(chosen)


def widths(keep: Widths, layers: dict[int, Layer], whole: Sequence[int] = ()) -> dict[str, int]:
    """How many units each layer keeps, by name: a share of each, rounded down, or a number for each.

    ``whole`` gives the units that numbers were meant for; of a layer of another width the same share stays.
    Source: spec majority-voting-pruning, 0.2.

    >>> layers = {1: Layer("a", nn.Linear(1, 10), 10), 2: Layer("b", nn.Linear(1, 5), 5)}
    >>> widths(0.5, layers), widths((3, 4), layers), widths((30, 40), layers, (100, 50))
    ({'a': 5, 'b': 2}, {'a': 3, 'b': 4}, {'a': 3, 'b': 4})
    """
    if isinstance(keep, float):
        return {layer.name: max(1, int(keep * layer.units + 1e-9)) for layer in layers.values()}
    if len(keep) != len(layers) or (whole and len(whole) != len(keep)):
        raise InputError(f"keep names {len(keep)} widths for {len(layers)} layers; give one for each")
    found = {}
    for at, (layer, units) in enumerate(zip(layers.values(), keep, strict=True)):
        found[layer.name] = max(1, int(units / whole[at] * layer.units + 1e-9)) if whole else units
    return found


def measured_on(ds: Dataset, count: int | None) -> Dataset:
    """The data with at most ``count`` samples for testing, drawn the same way each time.

    >>> import nervure as nv
    >>> len(measured_on(nv.data.load("digits"), 50).indices("test"))
    50
    """
    at = ds.indices("test")
    if count is None or count >= len(at):
        return ds
    kept = np.sort(np.random.default_rng(1).permutation(at)[:count])
    return dataclasses.replace(ds, splits={**ds.splits, "test": kept})


def accuracy(net: nn.Module, ds: Dataset, split: str = "test", device: str = "auto") -> float:
    """The share of a split that a network classifies right.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> 0 <= accuracy(nv.nets.build("lenet-300-100", ds), ds, device="cpu") <= 1
    True
    """
    at, labels = told(net, ds, split)
    return float(np.mean(predict(net, ds, at, device=device).argmax(axis=1) == labels))


def told(net: nn.Module, ds: Dataset, split: str = "test") -> tuple[Indices, Indices]:
    """The samples of a split whose label is known, and their labels; a network that gives no such labels is refused.

    >>> import nervure as nv
    >>> at, labels = told(nn.Flatten(), nv.data.load("digits"))
    >>> len(at) == len(labels) == 359
    True
    """
    if ds.y is None or ds.task != "classification":
        raise InputError(f"{ds.source}: accuracy needs labels of classes")
    if getattr(net, "task", "") == "clustering" and getattr(net, "names", ()) != ds.names:
        raise InputError(f"{ds.source}: accuracy is of classes, and the network gives clusters")
    at, labels = ds.indices(split), ds.y.astype(np.int64)
    at = at[labels[at] >= 0]
    if not len(at):
        raise InputError(f"{ds.source}: the split {split!r} has no sample with a known label")
    return at, labels[at]
