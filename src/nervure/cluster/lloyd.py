"""Closed-form k-means: sums that merge over batches and processes, one Lloyd step, seeding (spec deepcluster, S3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.objectives.centres import squared_distances

__all__ = ["Sums", "aligned", "full", "nearest", "numbered_as", "seed_centres", "step", "sums"]

CHUNK = 65_536
"""Latents that are held against the centres at once."""

FULL_SAMPLE = 10_000
"""Latents on which k-means is run to convergence."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Per cluster the number of members (k,) and their sum (k, d); ``inertia`` is the sum of squared distances.

    >>> one = sums(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.0], [4.0]]))
    >>> one.counts.tolist(), one.totals.flatten().tolist(), float(one.inertia)
    ([2.0, 1.0], [1.0, 5.0], 2.0)
    """

    counts: Tensor
    totals: Tensor
    inertia: Tensor

    def packed(self) -> Tensor:
        """All numbers in one tensor, which can be added to another's."""
        return torch.cat([self.counts, self.totals.flatten(), self.inertia.reshape(1)])

    @classmethod
    def unpacked(cls, packed: Tensor, clusters: int) -> Sums:
        """From what :meth:`packed` gave."""
        return cls(packed[:clusters], packed[clusters:-1].view(clusters, -1), packed[-1])


def nearest(latents: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each latent and its squared distance: (n,) int64, (n,); of equals the first (Eq 3.6)."""
    chosen, far = [], []
    for part in latents.split(CHUNK):
        distances, at = squared_distances(part, centres).min(dim=1)
        chosen.append(at)
        far.append(distances)
    if not chosen:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0)
    return torch.cat(chosen), torch.cat(far)


def sums(latents: Tensor, centres: Tensor, assigned: Tensor | None = None) -> Sums:
    """The sufficient statistics of one Lloyd step, in float64."""
    clusters = len(centres)
    wide = latents.to(torch.float64)
    if assigned is None:
        assigned, far = nearest(wide, centres.to(wide))
        inertia = far.sum()
    else:
        inertia = (wide - centres.to(wide)[assigned]).square().sum()
    counts = torch.bincount(assigned, minlength=clusters).to(torch.float64)
    totals = torch.zeros(clusters, latents.shape[1], dtype=torch.float64, device=latents.device)
    totals.index_add_(0, assigned, wide)
    return Sums(counts, totals, inertia)


def step(found: Sums, centres: Tensor) -> Tensor:
    """New centres: the mean of each cluster's members; a cluster without members keeps its centre (Eq 3.7)."""
    there = found.counts > 0
    means = found.totals / found.counts.clamp(min=1)[:, None]
    return torch.where(there[:, None], means, centres.to(means))


def seed_centres(latents: Tensor, clusters: int, how: str, seed: int) -> Tensor:
    """First centres (k, d) float64 (spec deepcluster, A8).

    ``samples``: k latents at random; ``kmeans++``: far from one another; ``kmeans``: k-means to convergence, the best
    of ten; ``normal``: standard normal; ``xavier``: uniform within sqrt(6 / (k + d)).
    """
    wide = latents.to("cpu", torch.float64)
    generator = torch.Generator().manual_seed(seed)
    dims = wide.shape[1]
    if how == "samples":
        return wide[torch.randperm(len(wide), generator=generator)[:clusters]]
    if how == "kmeans++":
        from sklearn.cluster import kmeans_plusplus

        found, _ = kmeans_plusplus(wide.numpy(), clusters, random_state=seed % 2**32)
        return torch.from_numpy(found)
    if how == "kmeans":
        return full(wide, clusters, seed)
    if how == "normal":
        return torch.randn(clusters, dims, generator=generator, dtype=torch.float64)
    bound = float((6 / (clusters + dims)) ** 0.5)
    return (torch.rand(clusters, dims, generator=generator, dtype=torch.float64) * 2 - 1) * bound


def full(latents: Tensor, clusters: int, seed: int, starts: int = 10) -> Tensor:
    """K-means to convergence, the best of ``starts`` by inertia: (k, d) float64."""
    from sklearn.cluster import KMeans

    wide = latents.to("cpu", torch.float64).numpy()
    model = KMeans(clusters, n_init=starts, random_state=seed % 2**32).fit(wide)
    return torch.from_numpy(model.cluster_centers_)


def numbered_as(before: Tensor, centres: Tensor, latents: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """The centres (k, d) in the order of earlier groups: each stands where the group was that it shares most with.

    Parameters
    ----------
    before : Tensor, (n,)
        The earlier group of each of this process's latents.
    centres : Tensor, (k, d)
        In any order.
    latents : Tensor, (n, d)
        Of this process.
    reduce : callable
        Adds a tensor up over all processes.

    Examples
    --------
    >>> latents = torch.tensor([[0.0], [1.0], [9.0]])
    >>> numbered_as(torch.tensor([1, 1, 0]), torch.tensor([[0.5], [9.0]]), latents, lambda table: table).flatten()
    tensor([9.0000, 0.5000])
    """
    now, _ = nearest(latents, centres.to(latents))
    table = torch.zeros(len(centres), len(centres), dtype=torch.float64, device=now.device)
    table.index_put_((before, now), torch.ones(len(now), dtype=torch.float64, device=now.device), accumulate=True)
    return centres[aligned(reduce(table)).to(centres.device)]


def aligned(table: Tensor) -> Tensor:
    """For each old group the new one that shares the most samples with it, one to one: (k,) int64.

    Parameters
    ----------
    table : Tensor, (k, k)
        How many samples are in old group i and in new group j.

    Examples
    --------
    >>> aligned(torch.tensor([[0.0, 5.0], [3.0, 1.0]])).tolist()
    [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    _, chosen = linear_sum_assignment(-table.cpu().numpy())
    return torch.from_numpy(chosen).to(torch.int64)
