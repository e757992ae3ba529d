"""Votes: how often a unit is among the most active of its layer."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.summary import flat
from nervure.observe.sums import Sums, count

__all__ = ["Votes", "VotesResult", "top_votes", "votes_each"]

Spatial = Literal["mean", "max", "l1"]


def votes_each(units: int, l_frac: float) -> int:
    """Votes of one example: ``max(1, ceil(l_frac * units))`` (spec majority-voting-pruning, 0.1).

    >>> votes_each(10, 0.2), votes_each(10, 0.21), votes_each(3, 0.01)
    (2, 3, 1)
    """
    return min(units, max(1, math.ceil(l_frac * units - 1e-9)))


def top_votes(scores: Tensor, l_frac: float) -> Tensor:
    """(units,) int64: in how many rows of ``scores`` (n, units) a unit is among the ``l`` largest.

    Equal scores: the lower index comes first (spec majority-voting-pruning, 2, eqs. 5.2 and 5.3).

    >>> top_votes(torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.3, 0.7, 0.6, 0.1], [0.5, 0.4, 0.9, 0.45]]), 0.5)
    tensor([2, 1, 3, 0])
    """
    l = votes_each(scores.shape[1], l_frac)
    last = scores.topk(l, dim=1, sorted=False).values.amin(1, keepdim=True)
    above = scores > last
    level = scores == last
    room = l - above.sum(1, keepdim=True)
    return (above | (level & (level.cumsum(1) <= room))).sum(0)


@dataclass(frozen=True, eq=False)
class VotesResult:
    """``votes`` (units,) int64 from ``examples`` samples that each gave ``each`` votes."""

    votes: Tensor
    examples: int
    each: int


class Votes(Sums):
    """Majority votes: each example votes for its ``l`` most active units (spec majority-voting-pruning, 2).

    Parameters
    ----------
    l_frac : float
        ``l = max(1, ceil(l_frac * units))``.
    spatial : {"mean", "max", "l1"}
        What stands for a unit's map: its mean (computed with the other statistics in one reading), its
        largest value, or its mean magnitude. Compared in float32; equal ones go to the lower index.

    >>> votes = Votes(0.5)
    >>> votes.update(torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.3, 0.7, 0.6, 0.1]]), None)
    >>> votes.result().votes
    tensor([1, 1, 2, 0])
    """

    def __init__(self, l_frac: float = 0.2, *, spatial: Spatial = "mean") -> None:
        if not 0 < l_frac <= 1:
            raise InputError(f"l_frac = {l_frac}; give a share above 0, at most 1")
        if spatial not in ("mean", "max", "l1"):
            raise InputError(f"spatial = {spatial!r}; give mean, max or l1")
        super().__init__()
        self.l_frac = l_frac
        self.spatial = spatial

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("votes", self.l_frac, self.spatial)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        values = flat(activation)
        if self.spatial == "max":
            scores = values.amax(2).to(torch.float32)
        else:
            wide = values.to(torch.float64)
            scores = (wide.abs() if self.spatial == "l1" else wide).mean(2).to(torch.float32)
        self.vote(scores)

    def vote(self, scores: Tensor) -> None:
        """Take in one batch of scores, (n, units) float32."""
        if not len(scores):
            return
        # A NaN would vanish in the counts, so it is kept in a sum of its own.
        check = scores.sum(dtype=torch.float64)
        self.add(votes=top_votes(scores, self.l_frac), examples=count(len(scores)), check=check)

    def result(self) -> VotesResult:  # noqa: D102
        votes = self.total("votes")
        return VotesResult(votes, int(self.total("examples")), votes_each(len(votes), self.l_frac))
