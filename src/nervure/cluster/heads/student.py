"""StudentHead: soft assignment by Student's t, trained towards its own sharpened self (spec deepcluster, S6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nervure.cluster import lloyd
from nervure.cluster.heads.head import Group, Head, Refreshed
from nervure.cluster.revive import EMPTY, revive
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.objectives.student import divergence, student_assignment, target_distribution, target_distribution_from

__all__ = ["StudentHead"]


class StudentHead(Head):
    """Centres that are trained with the network: DEC, IDEC and DCEC.

    At each phase every sample gets a target distribution, its own assignment squared and divided by how much mass
    each cluster has; until the next phase, training brings the assignment to it.

    Parameters
    ----------
    init : str
        First centres: ``kmeans``, ``kmeans++`` or ``samples``.
    freedom : float
        Degrees of freedom of Student's t.
    empty : str
        What happens to a centre without members: ``reseed``, ``farthest``, ``split`` or ``keep``.

    Examples
    --------
    >>> head = StudentHead(2, 1)
    >>> head.begin(Group.alone(torch.tensor([[0.0], [1.0], [8.0], [9.0]])))
    >>> sorted(head.centres.flatten().tolist())
    [0.5, 8.5]
    """

    def __init__(
        self, clusters: int, latent: int, init: str = "kmeans", freedom: float = 1.0, empty: str = "keep"
    ) -> None:
        super().__init__(clusters, latent)
        choose("init", init, ("kmeans", "kmeans++", "samples"))
        choose("empty", empty, tuple(one for one in EMPTY if one != "die"))
        if not freedom > 0:
            raise InputError(f"student: freedom = {freedom}; give a number above 0")
        self.init, self.freedom, self.empty = init, freedom, empty
        self.centres = nn.Parameter(torch.zeros(clusters, latent))

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log q (n, clusters)."""
        return self._soft(latents).clamp(min=torch.finfo(torch.float32).tiny).log()

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """KL(P || Q): the target is that of the last phase, or of the batch where there was none."""
        found = self._soft(latents)
        if self.training and self.aim is not None:
            return divergence(self.aim[batch.index.to(self.aim.device)].to(found), found)
        return divergence(target_distribution(found), found)

    @torch.no_grad()
    def aims(self, group: Group) -> Tensor:
        """The target distribution P of each sample (n, clusters), by the mass that clusters have among all samples."""
        found = torch.cat([self._soft(part) for part in group.latents.split(lloyd.CHUNK)])
        mass = group.reduce(found.sum(dim=0, dtype=torch.float64))
        return target_distribution_from(found, mass.to(found))

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """First centres, from latents that a warm-up has made."""
        some = group.sample(lloyd.FULL_SAMPLE)
        self.centres.copy_(lloyd.seed_centres(some, self.clusters, self.init, group.seed))
        self.active.fill_(True)

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """Assign all samples; a centre that died stands somewhere else."""
        assigned = self.assign(group.latents)
        packed = group.reduce(lloyd.sums(group.latents, self.centres, assigned).packed())
        found = lloyd.Sums.unpacked(packed, self.clusters)
        moved, notes = revive(self.centres.detach().clone(), found, group, self.empty, epoch)
        if not notes:
            return Refreshed(assigned)
        self.centres.copy_(moved)
        return Refreshed(self.assign(group.latents), repaired=notes, renewed=(self.centres,))

    def prototypes(self) -> Tensor:
        """The centres."""
        return self.centres

    def _soft(self, latents: Tensor) -> Tensor:
        return student_assignment(latents, self.centres, self.freedom)
