"""RunningHead: centres that move a little after each step, the less the more samples they have seen (DCN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from nervure.cluster import lloyd
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.heads.head import Group, Refreshed
from nervure.cluster.revive import revive
from nervure.errors import InputError

__all__ = ["RunningHead"]


class RunningHead(CentresHead):
    """K-means on latents, updated sample by sample (Yang et al. 2017, Eq 10).

    After a step, each sample of the batch is assigned to its nearest centre, counted there, and moves that centre by
    one over the count. One sample after the other gives the weighted mean of the centre and its new members, which
    is what is computed, over all processes at once.

    Parameters
    ----------
    init, empty
        As in :class:`nervure.cluster.heads.centres.CentresHead`.
    start : float
        Samples that each first centre counts for.

    Examples
    --------
    >>> head = RunningHead(2, 1, start=1)
    >>> head.begin(Group.alone(torch.tensor([[0.0], [0.0], [9.0], [9.0]])))
    >>> head.move(torch.tensor([[1.0], [8.0], [8.0]]), torch.arange(3), lambda value: value)
    >>> sorted(round(one, 3) for one in head.centres.flatten().tolist())
    [0.5, 8.333]
    """

    moves: ClassVar[bool] = True
    counts: Tensor

    def __init__(
        self, clusters: int, latent: int, init: str = "kmeans", empty: str = "reseed", start: float = 100.0
    ) -> None:
        super().__init__(clusters, latent, init, empty)
        if not start >= 0:
            raise InputError(f"running: start = {start}; give a count from 0")
        self.first = float(start)
        self.register_buffer("counts", torch.full((clusters,), self.first, dtype=torch.float64))

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """First centres, each of which counts for ``start`` samples."""
        super().begin(group)
        self.counts.fill_(self.first)

    @torch.no_grad()
    def move(self, latents: Tensor, index: Tensor, reduce: Callable[[Tensor], Tensor]) -> None:
        """Assign a batch to the centres, and move them."""
        wide = latents.to(torch.float64)
        assigned = self.assign(wide)
        found = lloyd.Sums.unpacked(reduce(lloyd.sums(wide, self.centres, assigned).packed()), self.clusters)
        total = self.counts + found.counts
        moved = (self.counts[:, None] * self.centres + found.totals) / total.clamp(min=1)[:, None]
        self.centres.copy_(torch.where((found.counts > 0)[:, None], moved, self.centres))
        self.counts.copy_(total)

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """Assign all samples; centres move here only where they died."""
        assigned = self.assign(group.latents)
        packed = group.reduce(lloyd.sums(group.latents, self.centres, assigned).packed())
        found = lloyd.Sums.unpacked(packed, self.clusters)
        self._spread(found, group)
        if self.empty == "die":
            moved, notes = self._thinned(self.centres, group)
        else:
            moved, notes = revive(self.centres, found, group, self.empty, epoch)
        if notes:
            there = (moved != self.centres).any(dim=1)
            self.centres.copy_(moved)
            self.counts.masked_fill_(there, self.first)
            assigned = self.assign(group.latents)
        return Refreshed(assigned, {"inertia": float(found.inertia) / max(1, group.total)}, notes)
