"""Pooling over time: from (n, units, time) to one row for each series, padded steps left out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["AttentionPool", "MeanPool", "cosines"]


def cosines(x: Tensor, count: int, length: int) -> Tensor:
    """Where in time the steps of ``x`` (n, units, time) are: sqrt(2) cos(pi k (t + 1/2) / length), k = 1 to ``count``.

    The result is (count, time).

    >>> cosines(torch.zeros(1, 1, 4), 1, 4)
    tensor([[ 1.3066,  0.5412, -0.5412, -1.3066]])
    """
    steps = (torch.arange(x.shape[2], device=x.device, dtype=x.dtype) + 0.5) * (math.pi / length)
    waves = torch.arange(1, count + 1, device=x.device, dtype=x.dtype)
    return (waves[:, None] * steps).cos() * math.sqrt(2)


class MeanPool(nn.Module):
    """The mean over the steps that have values, and ``positions`` further means weighted by cosines of time.

    A mean alone forgets where something was, which a decoder needs to put it there again. The cosines span
    ``length`` steps. A series without any value gives 0.

    >>> x, mask = torch.tensor([[[1.0, 3.0, 8.0]]]), torch.tensor([[True, True, False]])
    >>> MeanPool(length=3)(x, mask)
    tensor([[2.]])
    """

    def __init__(self, length: int, positions: int = 0) -> None:
        super().__init__()
        self.length = length
        self.positions = positions

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, units, time), mask (n, time) bool -> (n, units * (1 + positions)), unit by unit."""
        if mask is not None:
            x = x * mask[:, None]
        waves = torch.cat([torch.ones_like(x[0, :1]), cosines(x, self.positions, self.length)])
        sums = torch.bmm(x, waves.T.expand(x.shape[0], -1, -1)).flatten(1)
        return sums / x.shape[2] if mask is None else sums / mask.sum(dim=1, keepdim=True).clamp(min=1).to(x.dtype)


class AttentionPool(nn.Module):
    """For each head a mean weighted by the softmax over time of a learned score of each step.

    The score reads the step's values and ``positions`` cosines of its time, which span ``length`` steps.

    >>> pool = AttentionPool(4, heads=2, length=7)
    >>> pool(torch.zeros(3, 4, 7)).shape, pool.weights(torch.zeros(3, 4, 7)).sum(dim=2)[0].tolist()
    (torch.Size([3, 8]), [1.0, 1.0])
    """

    def __init__(self, units: int, heads: int, length: int, positions: int = 0) -> None:
        super().__init__()
        self.length = length
        self.positions = positions
        self.score = nn.Conv1d(units + positions, heads, 1)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, units, time), mask (n, time) bool -> (n, heads, time): how much each step counts; 0 at padding."""
        place = cosines(x, self.positions, self.length).expand(x.shape[0], -1, -1)
        scores: Tensor = self.score(torch.cat([x, place], dim=1))
        if mask is not None:
            # The lowest finite number, because a series without any value must not become NaN.
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        return scores.softmax(dim=2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, units, time), mask (n, time) bool -> (n, units * heads), unit by unit."""
        if mask is not None:
            x = x * mask[:, None]
        return torch.bmm(x, self.weights(x, mask).transpose(1, 2)).flatten(1)
