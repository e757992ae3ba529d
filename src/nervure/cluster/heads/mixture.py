"""MixtureHead: each cluster is a Gaussian; one EM step an epoch (spec deepcluster, S4)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nervure.cluster import em, lloyd
from nervure.cluster.dying import rests, thinned_mixture, without
from nervure.cluster.heads.head import DEAD, Group, Head, Refreshed
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.objectives.gaussians import log_joint_whitened, negative_log_likelihood

__all__ = ["MixtureHead"]


class MixtureHead(Head):
    """A Gaussian mixture on latents.

    Parameters
    ----------
    init : str
        First means: ``samples``, ``kmeans++``, ``kmeans``, ``normal`` or ``xavier``; ``em``: EM to convergence, as
        :meth:`settle` does it, since one step an epoch is slow to leave what k-means found. Where components may die,
        ``kmeans``.
    covariance : str
        ``full`` or ``diag``.
    floor : float
        Added to the diagonal of each covariance at each M step.
    empty : str
        What happens to a component with too little mass for a covariance of its own, that of one latent more than
        they have values, or of a fifth of an even share where that is less: ``reseed`` or ``keep``; with ``die``
        components are dropped that have too little mass or lie in one cluster with another, which finds their number
        from an upper bound (:mod:`nervure.cluster.dying`).
    variant : str
        ``published``: the log-likelihood is summed and minimised, as printed (Eq 3.8), which pushes latents away.

    Examples
    --------
    >>> head = MixtureHead(2, 1)
    >>> latents = torch.tensor([[0.0], [1.0], [8.0], [9.0]])
    >>> head.settle(Group.alone(latents))
    >>> head(latents).exp().round().sum(dim=0).tolist()
    [2.0, 2.0]
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    whitening: Tensor
    alive: Tensor

    def __init__(
        self,
        clusters: int,
        latent: int,
        init: str = "samples",
        covariance: str = "full",
        floor: float = 1e-2,
        empty: str = "reseed",
        variant: Literal["corrected", "published"] = "corrected",
    ) -> None:
        super().__init__(clusters, latent)
        choose("init", init, ("samples", "kmeans++", "kmeans", "normal", "xavier", "em"))
        choose("covariance", covariance, ("full", "diag"))
        choose("empty", empty, ("reseed", "keep", "die"))
        choose("variant", variant, ("corrected", "published"))
        if floor < 0:
            raise InputError(f"floor = {floor}; give 0 or more")
        self.init, self.floor, self.empty, self.variant = init, floor, empty, variant
        self.diagonal = covariance == "diag"
        wide = torch.float64
        self.register_buffer("weights", torch.full((clusters,), 1 / clusters, dtype=wide))
        self.register_buffer("means", torch.zeros(clusters, latent, dtype=wide))
        self.register_buffer("covariances", torch.eye(latent, dtype=wide).repeat(clusters, 1, 1))
        self.register_buffer("whitening", torch.eye(latent, dtype=wide).repeat(clusters, 1, 1))
        self.register_buffer("alive", torch.ones(clusters, dtype=torch.bool))

    @property
    def mixture(self) -> em.Mixture:
        """The parameters."""
        return em.Mixture(self.weights, self.means, self.covariances)

    def log_joint(self, latents: Tensor) -> Tensor:
        """ln pi_k N(h | mu_k, Sigma_k): (n, clusters)."""
        return log_joint_whitened(latents, self.weights.to(latents), self.means.to(latents), self.whitening.to(latents))

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log responsibilities (n, clusters) (Eq 3.10)."""
        logs = self.log_joint(latents).log_softmax(dim=1)
        return logs if self.empty != "die" else torch.where(self.alive[None], logs, DEAD)

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """E3: the mean negative log-likelihood."""
        return negative_log_likelihood(self.log_joint(latents), variant=self.variant)

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """First components: means by ``init``, covariances of the latents nearest to them."""
        if self.init == "em" and self.empty != "die":
            return self.settle(group)
        some = group.sample(lloyd.FULL_SAMPLE)
        init = "kmeans" if self.empty == "die" else self.init
        means = lloyd.seed_centres(some, self.clusters, init, group.seed)
        assigned, _ = lloyd.nearest(some, means)
        self.alive.fill_(True)
        self._set(em.of_assignment(some, assigned, means, self.floor, self.diagonal))
        if init in ("normal", "xavier"):
            self.weights.fill_(1 / self.clusters)
        if self.empty == "die":  # now, since parts of one cluster that are trained apart stay apart
            self._set(self._thinned(self.mixture, group)[0])
        self.active.fill_(True)

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """One EM step: responsibilities by the old components, then new ones (Eq 3.10 to 3.13)."""
        assigned = self.assign(group.latents)
        packed = group.reduce(em.sums(group.latents, self.mixture).packed())
        found = em.MixtureSums.unpacked(packed, self.clusters, self.latent)
        made = em.step(found, self.mixture, self.floor, self.diagonal)
        made, notes = self._revived(made, found, group, epoch) if self.empty != "die" else self._thinned(made, group)
        self._set(made)
        if self.empty == "die" and notes:  # the old assignment names components that are no more
            assigned = self.assign(group.latents)
        return Refreshed(assigned, {"log_likelihood": float(found.likelihood) / max(1, group.total)}, notes)

    @torch.no_grad()
    def settle(self, group: Group) -> None:
        """EM to convergence from the best of five k-means starts; with ``die`` from as many as there may be."""
        from sklearn.mixture import GaussianMixture

        some = group.sample(lloyd.FULL_SAMPLE).numpy()
        model = GaussianMixture(
            self.clusters,
            covariance_type="diag" if self.diagonal else "full",
            reg_covar=max(self.floor, 1e-6),
            n_init=5,
            random_state=group.seed % 2**32,
        ).fit(some)
        covariances = torch.from_numpy(model.covariances_)
        covariances = torch.diag_embed(covariances) if self.diagonal else covariances
        self.alive.fill_(True)
        self._set(em.Mixture(torch.from_numpy(model.weights_), torch.from_numpy(model.means_), covariances))
        if self.empty == "die":
            self._set(self._thinned(self.mixture, group)[0])
        self.active.fill_(True)

    def prototypes(self) -> Tensor:
        """The means."""
        return self.means

    def _revived(
        self, made: em.Mixture, found: em.MixtureSums, group: Group, epoch: int
    ) -> tuple[em.Mixture, tuple[str, ...]]:
        """Components with too little mass for a covariance of their own stand on a random latent."""
        least = min(self.latent + 1, group.total / (5 * self.clusters))
        dead = torch.nonzero(found.masses < least).flatten().tolist()
        if not dead or self.empty != "reseed" or group.last:
            return made, ()
        weights, means, covariances = made.weights.clone(), made.means.clone(), made.covariances.clone()
        alive = torch.ones(self.clusters, dtype=torch.bool, device=weights.device)
        alive[dead] = False
        typical = covariances[alive].mean(dim=0) if bool(alive.any()) else covariances.mean(dim=0)
        for number, cluster in enumerate(dead):
            means[cluster] = group.draw(1, epoch * 1009 + number)[0].to(means)
            covariances[cluster] = typical
            weights[cluster] = 1 / self.clusters
        notes = tuple(f"component {cluster} reseeded" for cluster in dead)
        return em.Mixture(weights / weights.sum(), means, covariances), notes

    def _thinned(self, made: em.Mixture, group: Group) -> tuple[em.Mixture, tuple[str, ...]]:
        """The mixture after those died that had to, once the step to ``made`` changes little; the same everywhere."""
        made = without(made, self.alive)
        some = group.sample(lloyd.FULL_SAMPLE).to(made.means)
        if not rests(self.log_joint(some).argmax(dim=1), made.log_joint(some).argmax(dim=1)):
            return made, ()
        scale = group.total / max(1, len(some))
        thin, alive, notes = thinned_mixture(some, made, self.alive, scale, self.floor, self.diagonal)
        self.alive.copy_(alive)
        return thin, notes

    def _set(self, mixture: em.Mixture) -> None:
        self.weights.copy_(mixture.weights)
        self.means.copy_(mixture.means)
        self.covariances.copy_(mixture.covariances)
        self.whitening.copy_(self.mixture.whitening())
