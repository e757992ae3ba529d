"""Gram: inner products between the units of a layer."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.observe.summary import flat
from nervure.observe.sums import Sums, count

__all__ = ["Gram", "GramResult"]


@dataclass(frozen=True, eq=False)
class GramResult:
    """``gram`` (units, units) = sum of t tᵀ and ``total`` (units,) = sum of t, both float64.

    ``count`` is the number of samples x positions summed over.
    """

    gram: Tensor
    total: Tensor
    count: int

    @property
    def covariance(self) -> Tensor:
        """(units, units) population covariance; cancels digits where means are large beside deviations."""
        mean = self.total / self.count
        return self.gram / self.count - mean[:, None] * mean


class Gram(Sums):
    """Inner products of units over all samples and positions, accumulated in float64.

    >>> gram = Gram()
    >>> gram.update(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), None)
    >>> gram.result().gram
    tensor([[10.,  2.],
            [ 2.,  4.]], dtype=torch.float64)
    """

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("gram",)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        rows = flat(activation).to(torch.float64).transpose(0, 1).flatten(1)
        self.add(gram=rows @ rows.T, total=rows.sum(1), count=count(rows.shape[1]))

    def result(self) -> GramResult:  # noqa: D102
        return GramResult(self.total("gram"), self.total("total"), int(self.total("count")))

    def finite(self) -> bool:  # noqa: D102
        # Where a product is not finite, neither is a sum or a square.
        parts = (self._sums["total"], self._sums["gram"].diagonal()) if self._sums else ()
        return all(bool(part.isfinite().all()) for part in parts)
