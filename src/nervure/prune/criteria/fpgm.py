"""Distance from the geometric median of a layer's filters: the most replaceable go first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.prune.criteria.norms import rows
from nervure.prune.criteria.verdict import verdict

__all__ = ["FPGM", "distance_sums"]


def distance_sums(filters: Tensor) -> Tensor:
    """(units,) sums over k of ``||F_i - F_k||_2`` for (units, values) filters.

    >>> distance_sums(torch.tensor([[0.0], [1.0], [5.0]]))
    tensor([6., 5., 9.], dtype=torch.float64)
    """
    wide = filters if filters.dtype == torch.float64 else filters.to(torch.float32)
    # About their mean, so that the products cancel no digits of filters that are alike.
    away = wide - wide.mean(0)
    squares = away.square().sum(1)
    distances = squares[:, None] + squares - 2 * (away @ away.T)
    return distances.clamp_(min=0).fill_diagonal_(0).sqrt_().sum(1, dtype=torch.float64)


@dataclass(frozen=True)
class FPGM(Criterion):
    """Sum of distances to the layer's other filters (spec ssim-kmeans-pruning, 7.1).

    >>> layer = torch.nn.Linear(1, 3)
    >>> weight = torch.tensor([[0.0], [1.0], [5.0]])
    >>> FPGM().judge(Layer("fc", layer, 3), {"weight": weight}, {}).scores
    tensor([6., 5., 9.], dtype=torch.float64)
    """

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        return verdict(layer, "distance to the other filters", distance_sums(rows(layer, weights)))
