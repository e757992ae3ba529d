"""Recovery: what every method of recovery is given, does and says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data.counter import key, order
from nervure.data.dataset import Batch, Dataset, Indices
from nervure.errors import InputError
from nervure.evidence import Bars
from nervure.prune.recover.kept import consumers, kept_outputs, other_consumers
from nervure.train.loop import Progress

__all__ = ["SAMPLES", "Given", "Kept", "Nothing", "Recovery", "Repair", "enough", "figure", "pick"]

Kept = Mapping[str, Sequence[int]]
"""Which outputs each cut layer kept; layers that are not named lost none."""

SAMPLES = 200
"""How many samples estimation reads, if nobody says otherwise."""

_BATCH = 50
_WORD = 0x5EC0  # keeps this draw apart from others with the same seed


@dataclass(frozen=True)
class Repair:
    """How far one layer's output was from the uncut network's, before and after: squared error, relative to its size.

    ``rows`` are the places that the fit read, ``ridge`` the pull towards the weights as cut; None where a method has
    none.
    """

    layer: str
    method: str
    before: float
    after: float
    rows: int
    ridge: float | None = None


@dataclass(frozen=True, eq=False)
class Given:
    """What a method of recovery may read.

    Parameters
    ----------
    small, original : Module
        The cut network as it was given, and the uncut one; neither is changed. They lie where the caller's do, which
        need not be where the network to repair is.
    ds : Dataset
    at : array
        (samples,) int64 positions in ``ds`` that estimation reads.
    kept : mapping of layer to indices
        Outputs that layers kept, where that is known.
    seed : int
    tell : callable
        Told of each :class:`Repair`.
    layers : sequence of str, optional
        The only layers that may be estimated; by default all that lost inputs.
    current : Module, optional
        The network just before the last of several cuts; with one cut it is ``original``, which stands for it then.
    progress, stop : callable, optional
        As :func:`nervure.train.fit` takes them, for methods that train.
    """

    small: nn.Module
    original: nn.Module
    ds: Dataset
    at: Indices
    kept: Kept
    seed: int
    tell: Callable[[Repair], None]
    layers: Sequence[str] | None = None
    current: nn.Module | None = None
    progress: Callable[[Progress], None] | None = None
    stop: Callable[[], bool] | None = None

    @property
    def consumers(self) -> tuple[str, ...]:
        """The layers whose inputs lost units, by name, as far as they may be estimated."""
        found = consumers(self.small, self.original)
        return found if self.layers is None else tuple(name for name in found if name in self.layers)

    @property
    def other_consumers(self) -> tuple[str, ...]:
        """Layers of other kinds whose inputs lost units, which no estimate repairs."""
        return other_consumers(self.small, self.original)

    def outputs(self, layer: str) -> Tensor:
        """(outputs of the cut layer,) int64: which of the uncut layer's outputs they are."""
        return kept_outputs(self.small, self.original, layer, self.kept)

    def batches(self, least: int = 5) -> Iterator[Batch]:
        """The samples of ``at`` in batches of nearly equal size, at most 50 each, ``least`` or more if there are."""
        count = len(self.at)
        for part in np.array_split(self.at, max(min(least, count), -(-count // _BATCH))):
            yield self.ds.batch(part)


@runtime_checkable
class Recovery(Protocol):
    """A method of recovery: it may change ``net``, which nobody else holds, and returns the better one."""

    def __call__(self, net: nn.Module, given: Given, /) -> nn.Module:
        """The recovered network, of the same structure."""
        ...


@dataclass(frozen=True)
class Nothing:
    """The control: the network as it was cut.

    >>> net = nn.Linear(1, 1)
    >>> Nothing()(net, None) is net
    True
    """

    def __call__(self, net: nn.Module, given: Given) -> nn.Module:
        """``net`` itself."""
        return net


def enough(samples: int) -> None:
    """Refuse a number of samples that is none.

    >>> enough(0)
    Traceback (most recent call last):
    nervure.errors.InputError: samples = 0; give a whole number from 1, 200 is usual
    """
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise InputError(f"samples = {samples!r}; give a whole number from 1, {SAMPLES} is usual")


def pick(ds: Dataset, samples: int, seed: int) -> Indices:
    """Positions of ``samples`` samples of the training split, or of all where it has fewer; labels play no part.

    >>> import nervure as nv
    >>> len(pick(nv.data.load("digits"), 200, seed=0))
    200
    """
    enough(samples)
    train = ds.indices("train")
    if not len(train):
        raise InputError(f"{ds.source}: the training split is empty; recovery reads samples from it")
    drawn = train[order(len(train), key(seed, _WORD))[:samples]]
    return np.sort(drawn)


def figure(repairs: Sequence[Repair]) -> Bars:
    """Relative squared error of each repaired layer, before and after.

    >>> figure([Repair("fc", "kernel-estimation", 0.4, 0.1, rows=200)]).bars
    ('fc',)
    """
    if not repairs:
        raise InputError("no layer was repaired; there is nothing to draw")
    values = torch.tensor([[one.before for one in repairs], [one.after for one in repairs]], dtype=torch.float64)
    worst = max(repairs, key=lambda one: one.after)
    return Bars(
        title="Error of layers before and after recovery",
        alt=f"{len(repairs)} layers; the largest relative squared error left is {worst.after:.3g} in {worst.layer}.",
        values=values.numpy(),
        bars=tuple(one.layer for one in repairs),
        series=("as cut", "recovered"),
        y_label="squared error / squared output",
    )
