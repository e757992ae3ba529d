"""Totals: count, sums, squares, extremes and zeros of each unit, and how two of them join."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

__all__ = ["Totals", "joined"]


@dataclass(frozen=True, eq=False)
class Totals:
    """What one reading of an activation yields for each unit.

    ``examples`` is the number of samples, ``count`` the number of values of a unit (samples x positions).
    The rest is (units,): float64 ``total`` (sum), ``squares`` (sum of squared deviations from the mean),
    ``absolute`` (sum of magnitudes), ``low``, ``high``; int64 ``zeros`` and ``nonpositive``.
    """

    examples: int
    count: int
    total: Tensor
    squares: Tensor
    absolute: Tensor
    low: Tensor
    high: Tensor
    zeros: Tensor
    nonpositive: Tensor

    def to(self, device: torch.device | str) -> Self:
        """The same on ``device``."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("examples", "count")}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


def joined(one: Totals, two: Totals) -> Totals:
    """The totals of both together (Chan, Golub and LeVeque's rule for the squares).

    >>> def of(value):
    ...     t, z = torch.tensor([value], dtype=torch.float64), torch.tensor([0])
    ...     return Totals(1, 1, t, torch.zeros_like(t), t.abs(), t, t, z, z)
    >>> joined(of(1.0), of(3.0)).squares
    tensor([2.], dtype=torch.float64)
    """
    if not one.count or not two.count:
        return one if one.count else two
    count = one.count + two.count
    gap = two.total / two.count - one.total / one.count
    return Totals(
        one.examples + two.examples,
        count,
        one.total + two.total,
        one.squares + two.squares + gap * gap * (one.count / count * two.count),
        one.absolute + two.absolute,
        torch.minimum(one.low, two.low),
        torch.maximum(one.high, two.high),
        one.zeros + two.zeros,
        one.nonpositive + two.nonpositive,
    )
