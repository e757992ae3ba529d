"""CentresHead: each cluster is a centre; one Lloyd step an epoch (spec deepcluster, S3)."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.cluster import lloyd
from nervure.cluster.dying import nearest_alive, rests, thinned_centres
from nervure.cluster.heads.head import DEAD, Group, Head, Refreshed
from nervure.cluster.revive import EMPTY, revive
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.objectives.centres import centre_loss, squared_distances

__all__ = ["CentresHead"]

INITS = ("samples", "kmeans++", "kmeans", "normal", "xavier")


class CentresHead(Head):
    """K-means on latents.

    Soft assignments are those of equal spherical Gaussians with the variance found within clusters, which is the
    mixture that k-means is the limit of.

    Parameters
    ----------
    init : str
        First centres: ``samples``, ``kmeans++``, ``kmeans`` (to convergence), ``normal`` or ``xavier``; where they may
        die, ``kmeans``.
    empty : str
        What happens to a centre without members: ``reseed``, ``farthest``, ``split`` or ``keep``; with ``die``
        centres are dropped that have too few members or lie in one cluster with another, which finds the number of
        clusters from an upper bound (:mod:`nervure.cluster.dying`).
    assign : str
        ``stored``: an epoch pulls samples to the centre that they had at the last phase; ``online``: to the nearest.
    refit_epochs : int
        So many epochs, from the first in which the centres take part, end with k-means to convergence in place of one
        Lloyd step; not where centres may die.
    floor : float
        With ``die``, the share of an even share that a centre needs to live.

    Examples
    --------
    >>> head = CentresHead(2, 1)
    >>> head.begin(Group.alone(torch.tensor([[0.0], [1.0], [8.0], [9.0]])))
    >>> head.settle(Group.alone(torch.tensor([[0.0], [1.0], [8.0], [9.0]])))
    >>> sorted(head.centres.flatten().tolist())
    [0.5, 8.5]
    """

    centres: Tensor
    variance: Tensor
    alive: Tensor

    def __init__(
        self,
        clusters: int,
        latent: int,
        init: str = "samples",
        empty: str = "reseed",
        assign: str = "stored",
        refit_epochs: int = 0,
        floor: float = 0.2,
    ) -> None:
        super().__init__(clusters, latent)
        choose("init", init, INITS)
        choose("empty", empty, EMPTY)
        choose("assign", assign, ("stored", "online"))
        if not 0 <= floor < 1:
            raise InputError(f"floor = {floor}; give a share from 0 to below 1")
        self.init, self.empty, self.mode, self.floor = init, empty, assign, floor
        self.refit_epochs = 0 if empty == "die" else refit_epochs
        self.register_buffer("centres", torch.zeros(clusters, latent, dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))
        self.register_buffer("alive", torch.ones(clusters, dtype=torch.bool))

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log-probabilities (n, clusters)."""
        distances = squared_distances(latents, self.centres.to(latents))
        scale = 2 * self.variance.to(latents).clamp(min=torch.finfo(latents.dtype).tiny)
        if self.empty != "die":
            return (-distances / scale).log_softmax(dim=1)
        lives = self.alive[None]
        return torch.where(lives, (-distances / scale).masked_fill(~lives, -torch.inf).log_softmax(dim=1), DEAD)

    def assign(self, latents: Tensor) -> Tensor:
        """The nearest centre that is alive; of equals the first."""
        return nearest_alive(latents, self.centres, self.alive)[0]

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """E2: the mean squared distance to each sample's centre (Eq 3.4)."""
        with torch.no_grad():
            chosen = self._stored(latents, batch) if self.mode == "stored" else self.assign(latents)
        return centre_loss(latents, self.centres.to(latents), chosen)

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """First centres."""
        some = group.sample(lloyd.FULL_SAMPLE)
        init = "kmeans" if self.empty == "die" else self.init
        self.centres.copy_(lloyd.seed_centres(some, self.clusters, init, group.seed))
        self.alive.fill_(True)
        if self.empty == "die":  # now, since parts of one cluster that are trained apart stay apart
            self.centres.copy_(self._thinned(self.centres, group)[0])
        self._measure(group)
        self.active.fill_(True)

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """Assign to the old centres, move each to the mean of its members, revive what died (Eq 3.6, 3.7)."""
        assigned = self.assign(group.latents)
        mine = lloyd.sums(group.latents, self.centres, assigned)
        found = lloyd.Sums.unpacked(group.reduce(mine.packed()), self.clusters)
        notes: tuple[str, ...] = ()
        anew = epoch <= self.refit_epochs
        if anew:
            moved = lloyd.full(group.sample(lloyd.FULL_SAMPLE), self.clusters, group.seed + epoch)
            moved = lloyd.numbered_as(assigned, moved.to(self.centres), group.latents, group.reduce)
        elif self.empty == "die":
            moved, notes = self._thinned(lloyd.step(found, self.centres), group)
        else:
            moved, notes = revive(lloyd.step(found, self.centres), found, group, self.empty, epoch)
        self.centres.copy_(moved)
        if notes or anew:  # the old assignment names centres that stand elsewhere now
            assigned = self._measure(group)
        else:
            self._spread(found, group)
        return Refreshed(assigned, {"inertia": float(found.inertia) / max(1, group.total)}, notes)

    @torch.no_grad()
    def settle(self, group: Group) -> None:
        """K-means to convergence, the best of ten; with ``die`` from as many centres as there may be."""
        self.centres.copy_(lloyd.full(group.sample(lloyd.FULL_SAMPLE), self.clusters, group.seed))
        self.alive.fill_(True)
        if self.empty == "die":
            self.centres.copy_(self._thinned(self.centres, group)[0])
        self._measure(group)
        self.active.fill_(True)

    def prototypes(self) -> Tensor:
        """The centres."""
        return self.centres

    def _thinned(self, moved: Tensor, group: Group) -> tuple[Tensor, tuple[str, ...]]:
        """Centres after those died that had to, once the step to ``moved`` changes little; the same on each process."""
        some = group.sample(lloyd.FULL_SAMPLE)
        if not rests(self.assign(some), nearest_alive(some, moved, self.alive)[0]):
            return moved, ()
        centres, alive, notes = thinned_centres(some, moved, self.alive, self.floor)
        self.alive.copy_(alive)
        return centres.to(moved) if notes else moved, notes

    def _measure(self, group: Group) -> Tensor:
        """Find the variance within clusters; each sample's cluster."""
        assigned = self.assign(group.latents)
        packed = group.reduce(lloyd.sums(group.latents, self.centres, assigned).packed())
        self._spread(lloyd.Sums.unpacked(packed, self.clusters), group)
        return assigned

    def _spread(self, found: lloyd.Sums, group: Group) -> None:
        self.variance.fill_(max(float(found.inertia) / max(1, group.total * self.latent), 1e-30))
