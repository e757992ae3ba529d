"""Quantiles of each unit's activations over all samples and positions: streaming, or exact."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.grid import Grid, power
from nervure.observe.histogram import known_bins
from nervure.observe.statistic import Statistic
from nervure.observe.summary import Reading, flat

__all__ = ["ExactQuantile", "Quantile", "QuantileResult", "from_counts"]


@dataclass(frozen=True, eq=False)
class QuantileResult:
    """``values`` (units, levels) float64 at ``levels``, each within ``bound`` (units,) of the exact one."""

    levels: tuple[float, ...]
    values: Tensor
    bound: Tensor


def _known(levels: float | Sequence[float]) -> tuple[float, ...]:
    given = (levels,) if isinstance(levels, int | float) else tuple(levels)
    if not given or not all(0 <= level <= 1 for level in given):
        raise InputError(f"quantile levels {given}; give numbers from 0 to 1")
    return tuple(float(level) for level in given)


def _ranks(levels: tuple[float, ...], count: int) -> Tensor:
    """Positions in sorted order, counted from 0: the lower of the two neighbours (numpy's ``"lower"``)."""
    return torch.tensor([int(level * (count - 1)) for level in levels])


def from_counts(grid: Grid, zeros: Tensor, levels: tuple[float, ...]) -> Tensor:
    """(units, levels) quantiles from binned counts; each lies in the bin that holds the exact one.

    Within a bin, values are taken as evenly spread, but exact zeros as the smallest of theirs: a unit that
    is zero at most places has the quantile 0.

    >>> grid = Grid.empty(units=1, bins=8)
    >>> grid.add(torch.tensor([[[0.0, 0.0, 0.0, 7.0]]]))
    >>> from_counts(grid, torch.tensor([3]), (0.5, 1.0))
    tensor([[0., 7.]], dtype=torch.float64)
    """
    upto = grid.counts.cumsum(1)
    ranks = _ranks(levels, int(upto[0, -1])).expand(len(upto), -1).contiguous()
    place = torch.searchsorted(upto, ranks, right=True)
    held = grid.counts.gather(1, place)
    inside = ranks - (upto.gather(1, place) - held)
    absolute = grid.first[:, None] + place
    null = torch.where(absolute == 0, zeros[:, None], 0)
    share = (inside - null + 0.5) / (held - null).clamp(min=1)
    value = (absolute + share) * power(grid.exponent)[:, None]
    value = torch.clamp(value, grid.low[:, None], grid.high[:, None])
    return torch.where(inside < null, 0.0, value)


class Quantile(Reading):
    """Quantiles read from a histogram whose bins are a power of two wide, merged exactly.

    Each is at most one bin from the exact quantile (numpy's ``"lower"``), and a bin is at most
    ``2 * (maximum - minimum) / (bins - 1)`` wide (or 2**-20 of the largest magnitude, if that is more); the
    result holds the bound. It doesn't depend on batches or their order.

    Parameters
    ----------
    levels : float or sequence of float
        From 0 (the minimum) to 1 (the maximum).
    bins : int
        More bins give a closer bound.

    >>> quantile = Quantile([0.5], bins=64)
    >>> quantile.update(torch.arange(101.0)[:, None], None)
    >>> quantile.result().values, quantile.result().bound
    (tensor([[50.5000]], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """

    def __init__(self, levels: float | Sequence[float] = 0.5, *, bins: int = 1024) -> None:
        self.levels = _known(levels)
        self.bins = known_bins(bins)

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("quantile", self.levels, self.bins)

    def result(self) -> QuantileResult:  # noqa: D102
        grid = self.grid()
        return QuantileResult(self.levels, from_counts(grid, self.totals().zeros, self.levels), power(grid.exponent))


class ExactQuantile(Statistic):
    """Exact quantiles (numpy's ``"lower"``): keeps every value, so memory grows with the data.

    ``limit`` is the number of values, over all units, at which it stops with an error.

    >>> quantile = ExactQuantile(0.8)
    >>> quantile.update(torch.arange(10.0)[:, None], None)
    >>> quantile.result().values
    tensor([[7.]], dtype=torch.float64)
    """

    def __init__(self, levels: float | Sequence[float] = 0.5, *, limit: int = 50_000_000) -> None:
        self.levels = _known(levels)
        self.limit = limit
        self._parts: list[Tensor] = []

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("exact-quantile", self.levels, self.limit)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        # A copy: of one example, or of one unit, it would be the activation, in which later layers may write.
        self._keep(flat(activation).transpose(0, 1).flatten(1).to("cpu", copy=True))

    def _keep(self, part: Tensor) -> None:
        self._parts = [*self._parts, part] if part.numel() else self._parts
        held = sum(kept.numel() for kept in self._parts)
        if held > self.limit:
            raise InputError(
                f"an exact quantile would keep more than {self.limit} values; "
                "use Quantile, raise limit, or give fewer samples"
            )

    def merge(self, other: Self) -> None:  # noqa: D102
        for part in other._parts:
            self._keep(part)

    def result(self) -> QuantileResult:  # noqa: D102
        if not self._parts:
            raise self.nothing_seen()
        values = torch.cat(self._parts, dim=1).sort(dim=1).values
        picked = values[:, _ranks(self.levels, values.shape[1])].to(torch.float64)
        return QuantileResult(self.levels, picked, torch.zeros(len(values), dtype=torch.float64))

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        return {"values": torch.cat(self._parts, dim=1)} if self._parts else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        self._parts = [state["values"]] if state else []

    def finite(self) -> bool:  # noqa: D102
        return not self._parts or bool(self._parts[-1].sum(dtype=torch.float64).isfinite())
