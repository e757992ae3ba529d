"""ThiNet: remove, one by one, the units whose joint absence changes the next layer least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nervure.evidence import Curve
from nervure.judge import Judgement, Layer, Probe
from nervure.prune.criteria.next_layer import NextLayer, summed
from nervure.prune.criteria.verdict import verdict

__all__ = ["ThiNet", "greedy_removal"]


def greedy_removal(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Order of removal and error so far, both (units,), that grow ``sum_m (sum_{c in T} x_mc)^2`` least.

    ``gram`` (units, units) holds the products of contributions; of equal units the later one goes first.

    >>> order, error = greedy_removal(torch.tensor([[9.0, 0.0, 0.0], [0.0, 4.0, -1.9], [0.0, -1.9, 1.0]]))
    >>> order, error
    (tensor([2, 1, 0]), tensor([ 1.0000,  1.2000, 10.2000]))
    """
    units = len(gram)
    removed = torch.zeros(units, dtype=torch.bool)
    growth = gram.diagonal().clone()
    order, errors, error = [], [], gram.new_zeros(())
    for _ in range(units):
        least = torch.where(removed, torch.inf, growth)
        unit = units - 1 - int(least.flip(0).argmin())
        error = error + growth[unit]
        removed[unit] = True
        growth = growth + 2 * gram[unit]
        order.append(unit)
        errors.append(error)
    return torch.tensor(order), torch.stack(errors)


@dataclass(frozen=True)
class ThiNet(NextLayer):
    """Position in the greedy order of removal (spec majority-voting-pruning, 12; ssim-kmeans-pruning, 7.1).

    ``per_example`` places of each example are sampled from the outputs of the layers that read the units. The
    scores 0, 1, ... give the greedy set for every number of units at once.

    >>> ThiNet(per_example=4).needs_labels
    False
    """

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        gram = summed(results)
        order, error = greedy_removal(gram)
        scores = torch.empty(len(order), dtype=torch.float64)
        scores[order] = torch.arange(len(order), dtype=torch.float64)
        whole = gram.sum().clamp(min=torch.finfo(torch.float64).tiny)
        curve = Curve(
            title=f"change of the next layer without units of {layer.name}",
            alt=f"relative squared change from {error[0] / whole:.3g} without one unit on",
            x=np.arange(1, len(order) + 1),
            y=(error / whole)[None].numpy(),
            labels=["greedy"],
            x_label="units removed",
            y_label="squared change / squared output",
        )
        return verdict(layer, "place in the order of removal", scores, figures=(curve,), seed=self.seed)
