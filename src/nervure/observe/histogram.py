"""Histograms of each unit's activations, on a grid that adapts or on a range that is given."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.grid import power
from nervure.observe.summary import Reading, flat
from nervure.observe.sums import Sums

__all__ = ["FixedHistogram", "Histogram", "HistogramResult", "entropy", "known_bins"]


def known_bins(bins: int) -> int:
    """``bins``, where it is a number of bins that a histogram can have."""
    if not 2 <= bins <= 65536:
        raise InputError(f"bins = {bins}; give 2 to 65536")
    return bins


def entropy(counts: Tensor) -> Tensor:
    """Entropy in nats of each row of (units, bins) counts; 0 for an empty row.

    >>> entropy(torch.tensor([[4, 0], [2, 2]]))
    tensor([0.0000, 0.6931], dtype=torch.float64)
    """
    shares = counts.to(torch.float64) / counts.sum(1, keepdim=True).clamp(min=1)
    each: Tensor = torch.special.entr(shares)
    return each.sum(1)


@dataclass(frozen=True, eq=False)
class HistogramResult:
    """``counts`` (units, bins) int64; bin b of unit j begins at ``low[j] + b * width[j]``.

    ``below`` and ``above`` (units,) count what a given range left out.
    """

    counts: Tensor
    low: Tensor
    width: Tensor
    below: Tensor
    above: Tensor

    @property
    def edges(self) -> Tensor:
        """(units, bins + 1) float64."""
        steps = torch.arange(self.counts.shape[1] + 1, dtype=torch.float64)
        return self.low[:, None] + steps * self.width[:, None]

    @property
    def entropy(self) -> Tensor:
        """(units,) entropy in nats of the binned values."""
        return entropy(self.counts)


class Histogram(Reading):
    """Counts on bins whose width is a power of two, the finest whose ``bins`` bins hold all values.

    The grid of a unit follows from its smallest and largest value alone, so batches, shards and ranks give
    equal counts in any order; from 32 up to 64 of the default 64 bins span the values.

    >>> histogram = Histogram(bins=4)
    >>> histogram.update(torch.tensor([[0.0], [1.0], [1.5], [3.0]]), None)
    >>> histogram.result().counts, histogram.result().width
    (tensor([[1, 2, 0, 1]]), tensor([1.], dtype=torch.float64))
    """

    def __init__(self, bins: int = 64) -> None:
        self.bins = known_bins(bins)

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("histogram", self.bins)

    def result(self) -> HistogramResult:  # noqa: D102
        grid = self.grid()
        width = power(grid.exponent)
        none = torch.zeros_like(grid.first)
        return HistogramResult(grid.counts, grid.first.to(torch.float64) * width, width, none, none)


class FixedHistogram(Sums):
    """Counts on equal bins of one given range; values outside are counted apart, the upper edge is inside.

    Reads the activation by itself: slower than :class:`Histogram`.

    >>> histogram = FixedHistogram((0.0, 2.0), bins=2)
    >>> histogram.update(torch.tensor([[0.5], [1.0], [2.0], [7.0]]), None)
    >>> histogram.result().counts, histogram.result().above
    (tensor([[1, 2]]), tensor([1]))
    """

    def __init__(self, span: tuple[float, float], bins: int = 64) -> None:
        super().__init__()
        low, high = span
        if not -torch.inf < low < high < torch.inf:
            raise InputError(f"range = {span}; give two finite numbers, the lower first")
        self.span = (float(low), float(high))
        self.bins = known_bins(bins)

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("fixed-histogram", self.span, self.bins)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        values = flat(activation)
        units = values.shape[1]
        check = values.sum(dtype=torch.float64)
        if not bool(check.isfinite()):
            self.add(check=check)
            return
        low, high = self.span
        place = torch.floor((values.to(torch.float64) - low) * (self.bins / (high - low))).clamp_(-1, self.bins)
        place = torch.where((place == self.bins) & (values == high), self.bins - 1, place)
        index = place.to(torch.int64) + 1 + torch.arange(units, device=values.device)[:, None] * (self.bins + 2)
        counts = torch.bincount(index.flatten(), minlength=units * (self.bins + 2)).view(units, -1)
        self.add(counts=counts, check=check)

    def result(self) -> HistogramResult:  # noqa: D102
        counts = self.total("counts")
        low, high = (torch.full((len(counts),), edge, dtype=torch.float64) for edge in self.span)
        width = (high - low) / self.bins
        return HistogramResult(counts[:, 1:-1], low, width, counts[:, 0], counts[:, -1])
