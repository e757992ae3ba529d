"""Moments and norms of each unit's activation."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from torch import Tensor

from nervure.observe.summary import Reading

__all__ = ["Moments", "MomentsResult", "Norms", "NormsResult"]


@dataclass(frozen=True, eq=False)
class MomentsResult:
    """Mean, population variance and standard deviation, extremes and norms over all samples and positions.

    ``l1`` is the sum of magnitudes and ``l2`` the root of the sum of squares, over the whole data; all
    (units,) float64. ``count`` values of each unit came from ``examples`` samples.
    """

    examples: int
    count: int
    mean: Tensor
    variance: Tensor
    sd: Tensor
    minimum: Tensor
    maximum: Tensor
    l1: Tensor
    l2: Tensor


class Moments(Reading):
    """Mean, variance, extremes and norms of each unit (spec majority-voting-pruning, 3 and 15).

    Variances are merged about the mean, in float64, so large means cancel no digits.

    >>> import torch
    >>> moments = Moments()
    >>> moments.update(torch.tensor([[1.0, -2.0], [3.0, -2.0]]), None)
    >>> moments.result().mean, moments.result().sd
    (tensor([ 2., -2.], dtype=torch.float64), tensor([1., 0.], dtype=torch.float64))
    """

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("moments",)

    def result(self) -> MomentsResult:  # noqa: D102
        t = self.totals()
        mean, variance = t.total / t.count, t.squares / t.count
        l2 = (t.squares + t.count * mean.square()).sqrt()
        return MomentsResult(t.examples, t.count, mean, variance, variance.sqrt(), t.low, t.high, t.absolute, l2)


@dataclass(frozen=True, eq=False)
class NormsResult:
    """``l1`` (units,) float64: magnitudes summed over all data; ``l2``: root of the summed squares."""

    examples: int
    count: int
    l1: Tensor
    l2: Tensor


class Norms(Reading):
    """l1 and l2 norm of each unit's activation over the data (spec majority-voting-pruning, 3).

    >>> import torch
    >>> norms = Norms()
    >>> norms.update(torch.tensor([[3.0], [-4.0]]), None)
    >>> norms.result().l1, norms.result().l2
    (tensor([7.], dtype=torch.float64), tensor([5.], dtype=torch.float64))
    """

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("norms",)

    def result(self) -> NormsResult:  # noqa: D102
        t = self.totals()
        return NormsResult(t.examples, t.count, t.absolute, (t.squares + t.total.square() / t.count).sqrt())
