"""PseudoHead: k-means groups of whitened features are labels for a classifier that starts anew (DeepCluster)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from nervure.cluster import lloyd
from nervure.cluster.heads import lens
from nervure.cluster.heads.head import Group, Head, Refreshed
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.centres import squared_distances

__all__ = ["PseudoHead", "whiten"]

STARTS = 3
"""Starts of k-means at each phase; the final clusters have ten."""


class PseudoHead(Head):
    """Clusters of features that a network learns by telling those clusters apart (Caron et al. 2018).

    At each phase features are whitened by their principal components, brought to length 1 and grouped by k-means. The
    groups are the labels of the next epoch, for a classifier with new weights; each group weighs the same.

    Parameters
    ----------
    groups : int, optional
        Pseudo-labels; as many as clusters if not given. With more of them the clusters are a second k-means.
    components : int
        Principal components that are kept, at most; of latents of more than 1,024 values, those of their projection.

    Examples
    --------
    >>> head = PseudoHead(2, 2)
    >>> latents = torch.tensor([[5.0, 0.0], [4.0, 1.0], [-5.0, 0.0], [-4.0, -1.0]])
    >>> head.begin(Group.alone(latents))
    >>> chosen = head.assign(latents)
    >>> bool(chosen[0] == chosen[1] != chosen[2] == chosen[3])
    True
    """

    mean: Tensor
    whitening: Tensor
    pseudo: Tensor
    centres: Tensor
    variance: Tensor
    balance: Tensor

    def __init__(self, clusters: int, latent: int, groups: int | None = None, components: int = 256) -> None:
        super().__init__(clusters, latent)
        labels = clusters if groups is None else groups
        if labels < clusters or components < 1:
            raise InputError(
                f"pseudo-labels: groups = {labels}, components = {components}; give at least {clusters} groups and 1 "
                "component"
            )
        kept, wide = min(components, latent, lens.WIDE), torch.float64
        self.groups = labels
        self.classifier = nn.Linear(latent, labels)
        self.register_buffer("mean", torch.zeros(latent, dtype=wide))
        self.register_buffer("whitening", torch.eye(latent, kept, dtype=wide))
        self.register_buffer("pseudo", torch.zeros(labels, kept, dtype=wide))
        self.register_buffer("centres", torch.zeros(clusters, kept, dtype=wide))
        self.register_buffer("variance", torch.ones((), dtype=wide))
        self.register_buffer("balance", torch.ones(labels))

    def features(self, latents: Tensor) -> Tensor:
        """Whitened, of length 1: (n, latent) -> (n, components)."""
        white = (latents - self.mean.to(latents)) @ self.whitening.to(latents)
        return functional.normalize(white, dim=1)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log-probabilities (n, clusters), those of equal spherical Gaussians about the centres."""
        distances = squared_distances(self.features(latents), self.centres.to(latents))
        return (-distances / (2 * self.variance.to(latents))).log_softmax(dim=1)

    def lens(self) -> Tensor | None:
        """A projection, where latents are wide."""
        return lens.lens(self.latent)

    @contextmanager
    def seen_through(self, through: Tensor | None) -> Iterator[None]:
        """Within, features are made of what the lens shows."""
        if through is None:
            yield
            return
        there, mean, whitening = through.to(self.mean), self.mean, self.whitening
        self.mean, self.whitening = mean @ there, there.T @ whitening
        try:
            yield
        finally:
            mean.copy_(there @ self.mean)
            whitening.copy_(there @ self.whitening)
            self.mean, self.whitening = mean, whitening

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """Cross-entropy of the classifier on the pseudo-labels, each label weighing the same among all samples."""
        if self.training and self.aim is not None:
            labels = self.aim[batch.index.to(self.aim.device)].to(latents.device)
        else:
            labels = self._label(latents)
        losses = functional.cross_entropy(self.classifier(latents), labels, reduction="none")
        return (losses * self.balance[labels]).mean()

    @torch.no_grad()
    def aims(self, group: Group) -> Tensor:
        """The pseudo-label of each sample (n,)."""
        return torch.cat([self._label(part) for part in group.latents.split(lloyd.CHUNK)])

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """First groups, of the untrained network's features."""
        self._regroup(dataclasses.replace(group, latents=group.latents.to(self.mean.device)), group.seed, known=False)
        self.active.fill_(True)

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """New groups, numbered as those that the old centres would make of the new features; then a new classifier."""
        self._regroup(group, group.seed + epoch, known=True)
        generator = torch.Generator().manual_seed((group.seed * 1_000_003 + epoch) % 2**63)
        fresh = torch.randn(self.classifier.weight.shape, generator=generator) * 0.01
        self.classifier.weight.copy_(fresh)
        self.classifier.bias.zero_()
        return Refreshed(self.assign(group.latents), renewed=(self.classifier.weight, self.classifier.bias))

    @torch.no_grad()
    def settle(self, group: Group) -> None:
        """The final clusters: k-means to convergence, the best of ten."""
        here = dataclasses.replace(group, latents=group.latents.to(self.mean.device))
        self._measure(here)
        self._cluster(self._featured(here), here.seed, starts=10)
        self.active.fill_(True)

    def _regroup(self, group: Group, seed: int, known: bool) -> None:
        guesses, before = (self._label(group.latents), self.assign(group.latents)) if known else (None, None)
        self._measure(group)
        seen = self._featured(group)
        found = lloyd.full(seen.sample(lloyd.FULL_SAMPLE), self.groups, seed, STARTS).to(self.pseudo)
        if guesses is not None:
            found = lloyd.numbered_as(guesses, found, seen.latents, group.reduce)
        self.pseudo.copy_(found)
        sizes = group.reduce(torch.bincount(self._label(group.latents), minlength=self.groups).to(torch.float64))
        self.balance.copy_(group.total / (self.groups * sizes.clamp(min=1)))
        if self.groups == self.clusters:
            self.centres.copy_(self.pseudo)
            self._spread(seen)
        else:
            self._cluster(seen, group.seed, STARTS, before)

    def _cluster(self, seen: Group, seed: int, starts: int, before: Tensor | None = None) -> None:
        found = lloyd.full(seen.sample(lloyd.FULL_SAMPLE), self.clusters, seed, starts).to(self.centres)
        self.centres.copy_(found if before is None else lloyd.numbered_as(before, found, seen.latents, seen.reduce))
        self._spread(seen)

    def _spread(self, seen: Group) -> None:
        packed = seen.reduce(lloyd.sums(seen.latents, self.centres).packed())
        inertia = float(lloyd.Sums.unpacked(packed, self.clusters).inertia)
        self.variance.fill_(max(inertia / max(1, seen.total * self.centres.shape[1]), 1e-12))

    def _label(self, latents: Tensor) -> Tensor:
        distances = squared_distances(self.features(latents), self.pseudo.to(latents))
        return distances.argmin(dim=1)

    def _featured(self, group: Group) -> Group:
        return dataclasses.replace(group, latents=self.features(group.latents.to(torch.float64)))

    def _measure(self, group: Group) -> None:
        """Mean and whitening of all samples' features, over all processes."""
        zero = self.mean.new_zeros(group.points.shape[1])
        mean = group.reduce(sum((part.sum(dim=0) for _, part in group.parts()), start=zero)) / max(1, group.total)
        apart = sum(((part - mean).T @ (part - mean) for _, part in group.parts()), start=torch.outer(zero, zero))
        self.mean.copy_(mean)
        self.whitening.copy_(whiten(group.reduce(apart) / max(1, group.total), self.whitening.shape[1]))


def whiten(covariance: Tensor, components: int) -> Tensor:
    """The matrix that brings centred rows to their first principal components, each of variance 1.

    Directions that (almost) do not vary become 0. Each component's largest entry is positive.

    Parameters
    ----------
    covariance : Tensor, (d, d)
        Of the rows.
    components : int
        How many are kept, the largest first.

    Returns
    -------
    Tensor, (d, components)

    Examples
    --------
    >>> whiten(torch.diag(torch.tensor([4.0, 9.0])), 2)
    tensor([[0.0000, 0.5000],
            [0.3333, 0.0000]])
    """
    sizes, axes = torch.linalg.eigh(covariance)
    sizes, axes = sizes.flip(0)[:components], axes.flip(1)[:, :components]
    signs = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    tiny = torch.finfo(sizes.dtype).tiny
    there = sizes > 1e-6 * sizes[0].clamp(min=tiny)
    found: Tensor = axes * signs * torch.where(there, sizes.clamp(min=tiny).rsqrt(), 0.0)
    return found
