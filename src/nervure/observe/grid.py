"""Grid: counts on bins whose width is a power of two, so that any two can be merged exactly.

A unit's bins have the edges ``k * 2**e``. Its exponent and first bin follow from its smallest and largest
value alone, never from the order in which values came; a wider grid's bins are sums of a finer one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["Grid", "canonical", "power", "rebin"]

RESOLUTION = 20  # bins no finer than 2**-20 of the largest magnitude: indices stay exact in float32
FINEST = -100  # nor than 2**-100: the scale 2**100 stays inside float32


def power(exponent: Tensor) -> Tensor:
    """Exactly ``2.0**exponent`` for (units,) int64, as float64.

    >>> power(torch.tensor([-1, 3]))
    tensor([0.5000, 8.0000], dtype=torch.float64)
    """
    return ((exponent + 1023) << 52).view(torch.float64)


def _magnitude(value: Tensor) -> Tensor:
    """The largest e with ``2**e <= value``; a low number for 0."""
    exponent = torch.frexp(value)[1].to(torch.int64) - 1
    return torch.where(value > 0, exponent, torch.full_like(exponent, -1022))


def canonical(low: Tensor, high: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """The finest grid of ``bins`` bins that holds [low, high], unit by unit.

    Parameters
    ----------
    low, high : Tensor
        (units,) float64, smallest and largest value.

    Returns
    -------
    exponent, first : Tensor
        (units,) int64. Bin b holds ``(first + b) * 2**exponent`` up to the next edge. Where the range and
        not the floor of resolution decides, the width is at most ``2 * (high - low) / (bins - 1)``.

    >>> canonical(torch.tensor([0.0], dtype=torch.float64), torch.tensor([3.0], dtype=torch.float64), 4)
    (tensor([0]), tensor([0]))
    """
    floor = (_magnitude(torch.maximum(low.abs(), high.abs())) - RESOLUTION).clamp(min=FINEST)
    exponent = torch.maximum(_magnitude((high - low) / bins) - 1, floor)
    for _ in range(4):
        width = power(exponent)
        too_fine = torch.floor(high / width) - torch.floor(low / width) >= bins
        exponent = exponent + too_fine.to(torch.int64)
    return exponent, torch.floor(low / power(exponent)).to(torch.int64)


def rebin(
    counts: Tensor, exponent: Tensor, first: Tensor, new_exponent: Tensor, new_first: Tensor, bins: int
) -> Tensor:
    """``counts`` (units, old bins) on an equal or wider grid, exactly; what is occupied must fit there."""
    if bins == counts.shape[1] and torch.equal(exponent, new_exponent) and torch.equal(first, new_first):
        return counts.clone()
    place = first[:, None] + torch.arange(counts.shape[1], device=counts.device)
    shift = (new_exponent - exponent).clamp(max=62)[:, None]
    target = ((place >> shift) - new_first[:, None]).clamp(0, bins - 1)
    return counts.new_zeros(len(counts), bins).scatter_add_(1, target, counts)


@dataclass(eq=False)
class Grid:
    """Counts of values of each unit; (units,) ``low``, ``high`` float64, ``exponent``, ``first`` int64.

    >>> grid = Grid.empty(units=1, bins=4)
    >>> grid.add(torch.tensor([[[0.0, 1.0, 1.5, 3.0]]]))
    >>> grid.counts
    tensor([[1, 2, 0, 1]])
    """

    low: Tensor
    high: Tensor
    exponent: Tensor
    first: Tensor
    counts: Tensor

    @classmethod
    def empty(cls, units: int, bins: int, device: torch.device | None = None) -> Self:
        """A grid that has seen nothing."""
        infinity = torch.full((units,), torch.inf, dtype=torch.float64, device=device)
        nothing = torch.zeros(units, dtype=torch.int64, device=device)
        counts = torch.zeros(units, bins, dtype=torch.int64, device=device)
        return cls(infinity, -infinity, torch.full_like(nothing, FINEST), nothing, counts)

    @property
    def bins(self) -> int:
        """Bins of a unit."""
        return self.counts.shape[1]

    def to(self, device: torch.device | str) -> Grid:
        """The same on ``device``; tensors that lie there already are shared."""
        parts = (self.low, self.high, self.exponent, self.first, self.counts)
        return Grid(*(part.to(device) for part in parts))

    def grow(self, low: Tensor, high: Tensor) -> None:
        """Make room for values in [low, high], (units,) float64."""
        low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        if bool(((low == self.low) & (high == self.high)).all()):
            return
        exponent, first = canonical(low, high, self.bins)
        if not bool(((exponent == self.exponent) & (first == self.first)).all()):
            self.counts = rebin(self.counts, self.exponent, self.first, exponent, first, self.bins)
        self.low, self.high, self.exponent, self.first = low, high, exponent, first

    def add(self, values: Tensor) -> None:
        """Count ``values`` (n, units, m), all finite."""
        self.grow(values.amin((0, 2)).to(torch.float64), values.amax((0, 2)).to(torch.float64))
        self.count(values)

    def count(self, values: Tensor) -> None:
        """Count ``values`` (n, units, m) that are known to lie in [low, high]."""
        units = len(self.counts)
        scale = power(-self.exponent).to(values.dtype)
        shift = (torch.arange(units, device=values.device) * self.bins - self.first).to(torch.int32)
        # A tiny negative value may vanish where it is scaled: it still lies no higher than the largest.
        last = torch.floor(self.high / power(self.exponent)).to(torch.int32)
        index = (values * scale[:, None]).floor_().to(torch.int32).clamp_(max=last[:, None]).add_(shift[:, None])
        found = torch.bincount(index.flatten(), minlength=units * self.bins)
        self.counts += found.view(units, self.bins)

    def coarse(self, bins: int) -> Grid:
        """The same counts on at most as many bins: what :meth:`add` would have counted there."""
        exponent, first = canonical(self.low, self.high, bins)
        counts = rebin(self.counts, self.exponent, self.first, exponent, first, bins)
        return Grid(self.low.clone(), self.high.clone(), exponent, first, counts)

    def merge(self, other: Grid) -> None:
        """Take in the counts of another grid of as many bins."""
        self.grow(other.low, other.high)
        self.counts += rebin(other.counts, other.exponent, other.first, self.exponent, self.first, self.bins)
