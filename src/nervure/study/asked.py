"""What trials of one network share: the criteria they ask, how layers are numbered, and how networks are measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field
from torch import nn

from nervure import nets
from nervure.data import Dataset
from nervure.data.dataset import Indices
from nervure.errors import InputError
from nervure.judge import Criterion, Layer
from nervure.nets.structure.layers import examine, layers_in
from nervure.nets.structure.surgery import Graph
from nervure.prune.criteria import make
from nervure.study.settings import Kind, TrialSettings
from nervure.study.train_trial import at_most
from nervure.train import predict

__all__ = [
    "Asked", "Beside", "accuracy", "chosen_of", "cost_of", "measured_on", "numbered", "told", "widths",
]  # fmt: skip

Widths = float | tuple[int, ...]


class Beside(TrialSettings):
    """One criterion of several: its name and its settings; without ``criterion`` the key where it stands is the name.

    >>> Beside(options={"initial": "identity"}).criterion
    ''
    """

    criterion: str = ""
    options: dict[str, object] = Field(default_factory=dict)


class Asked(Beside):
    """One criterion of ``nervure.prune.criteria`` that is measured.

    Of a criterion that draws, ``draws`` are made with different seeds, and their mean is measured.

    >>> Asked(draws=3).options
    {}
    """

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
    return at_most(ds, "test", count, 1)


def cost_of(base: nn.Module, net: nn.Module, shape: Sequence[int]) -> dict[str, float]:
    """What a network costs, and which share of another's cost that is, for a sample of ``shape``.

    >>> cost_of(nn.Linear(4, 8), nn.Linear(4, 2), (4,))
    {'macs': 8.0, 'parameters': 10.0, 'macs_share': 0.25, 'parameters_share': 0.25}
    """
    before, after = nets.count(base, shape), nets.count(net, shape)
    return {
        "macs": float(after.macs),
        "parameters": float(after.params),
        "macs_share": after.macs / before.macs,
        "parameters_share": after.params / before.params,
    }


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
