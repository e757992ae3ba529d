"""Ways to group the units of a layer, in one shape: SSIM k-means and its two controls.

Spec ssim-kmeans-pruning, 2.3 and 7.1. Each has a matrix of similarities, by which silhouettes are taken, and
makes clusterings with exactly k clusters.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nervure.features.silhouette import Kind
from nervure.features.ssim import Filters, Measure
from nervure.prune.ssim.initial import Indices, Init
from nervure.prune.ssim.kmeans import Clustering, Job, Memory, fill_empty, kmeans_many
from nervure.prune.ssim.profiles import Profile

__all__ = ["Agglomerative", "EuclideanKMeans", "Grouper", "Method", "SSIMKMeans"]


class Grouper(Protocol):
    """A layer made ready for one method."""

    @property
    def n(self) -> int:
        """How many units."""
        ...

    @property
    def values(self) -> Tensor:
        """The weights of each unit as they are compared, (n, ...)."""
        ...

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Similarity of every two units, (n, n), at most 1."""
        ...

    def cluster(self, jobs: Sequence[Job]) -> list[Clustering]:
        """Each job's clustering, whatever the other jobs are."""
        ...


class Method(Protocol):
    """A way to group units. Two of equal ``repr`` give the same clusterings."""

    random: ClassVar[bool]

    @property
    def measure_name(self) -> str:
        """What its similarities are called."""
        ...

    @property
    def silhouette(self) -> Kind:
        """Which silhouette chooses the number of clusters."""
        ...

    def prepare(self, weight: Tensor) -> Grouper:
        """A layer's weights (n, channels, *kernel) made ready."""
        ...


@dataclass(frozen=True)
class SSIMKMeans:
    """K-means by SSIM, or by another similarity of the profile's measure.

    >>> import torch
    >>> weight = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> SSIMKMeans(Profile()).prepare(weight).cluster([Job(3, 0)])[0].k
    3
    """

    random: ClassVar[bool] = True

    profile: Profile = field(default_factory=Profile)

    @property
    def measure_name(self) -> str:  # noqa: D102
        return self.profile.measure.name

    @property
    def silhouette(self) -> Kind:  # noqa: D102
        return self.profile.silhouette

    def prepare(self, weight: Tensor) -> Grouper:  # noqa: D102
        return _BySSIM(Filters(weight, self.profile.measure), self.profile.init)


class _BySSIM:
    def __init__(self, filters: Filters, init: Init) -> None:
        self.filters = filters
        self.init = init
        self.n = filters.n
        self.values = filters.values
        self.memory = Memory(filters)

    @property
    def matrix(self) -> NDArray[np.float64]:
        return self.filters.matrix

    def cluster(self, jobs: Sequence[Job]) -> list[Clustering]:
        return kmeans_many(self.filters, jobs, init=self.init, memory=self.memory)


@dataclass(frozen=True)
class EuclideanKMeans:
    """K-means by distance between weight vectors, which SSIM must beat to be worth its price.

    >>> import torch
    >>> weight = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0]])
    >>> EuclideanKMeans().prepare(weight).cluster([Job(2, 0)])[0].representatives().tolist()
    [0, 2]
    """

    random: ClassVar[bool] = True

    silhouette: Kind = "distance"

    @property
    def measure_name(self) -> str:  # noqa: D102
        return "1 - distance (scaled)"

    def prepare(self, weight: Tensor) -> Grouper:  # noqa: D102
        return _ByDistance(weight.detach())


class _ByDistance:
    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.rows: NDArray[np.float64] = values.flatten(1).double().cpu().numpy()
        self.n = len(values)

    @functools.cached_property
    def _distances(self) -> NDArray[np.float64]:
        from scipy.spatial.distance import cdist

        return np.asarray(cdist(self.rows, self.rows))

    @functools.cached_property
    def _largest(self) -> float:
        return float(self._distances.max()) or 1.0

    @functools.cached_property
    def matrix(self) -> NDArray[np.float64]:
        return self._similarity(self._distances)

    def _similarity(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """From -1, as far apart as any two units, to 1."""
        return 1 - 2 * distances / self._largest

    def _to(self, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.spatial.distance import cdist

        return self._similarity(cdist(centres, self.rows))

    def cluster(self, jobs: Sequence[Job]) -> list[Clustering]:
        return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> Clustering:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said of equal units, which are moved below
            model = KMeans(job.k, n_init=1, random_state=job.seed % 2**32).fit(self.rows)
        labels = model.labels_.astype(np.int64)
        repaired = fill_empty(labels, self._to(model.cluster_centers_).astype(np.float32), job.k)
        centres = np.stack([self.rows[labels == one].mean(0) for one in range(job.k)])
        closeness = self._to(centres)[labels, np.arange(self.n)]
        stop = "converged" if model.n_iter_ < model.max_iter else "limit"
        return Clustering(labels, closeness, int(model.n_iter_), repaired, stop, initial=1)


@dataclass(frozen=True)
class Agglomerative:
    """Average linkage on 1 - SSIM; a group's representative is its medoid.

    >>> import torch
    >>> shape = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> layer = torch.cat([shape + 0.01, shape, shape - 0.01])
    >>> Agglomerative().prepare(layer).cluster([Job(2, 0)])[0].labels
    array([0, 1, 0, 1, 0, 1])
    """

    random: ClassVar[bool] = False

    measure: Measure = field(default_factory=lambda: Measure("kernel", value_map="minmax01"))
    silhouette: Kind = "distance"

    @property
    def measure_name(self) -> str:  # noqa: D102
        return self.measure.name

    def prepare(self, weight: Tensor) -> Grouper:  # noqa: D102
        return _ByLinkage(Filters(weight, self.measure))


class _ByLinkage:
    def __init__(self, filters: Filters) -> None:
        self.matrix = filters.matrix
        self.values = filters.values
        self.n = filters.n

    @functools.cached_property
    def _tree(self) -> NDArray[np.float64]:
        from scipy.cluster.hierarchy import linkage

        distances = (1 - self.matrix[np.triu_indices(self.n, 1)]).clip(min=0)
        # Rounded, so that which of two equal pairs joins first does not hang on the last bit.
        return np.asarray(linkage(distances.round(6), "average"))

    def cluster(self, jobs: Sequence[Job]) -> list[Clustering]:
        made = {k: self._cut(k) for k in {job.k for job in jobs}}
        return [made[job.k] for job in jobs]

    def _cut(self, k: int) -> Clustering:
        labels = self._labels(k)
        mine = labels[:, None] == labels
        others = mine.sum(1) - 1
        sums = np.where(mine, self.matrix, 0).sum(1) - np.diagonal(self.matrix)
        return Clustering(labels, np.where(others > 0, sums / np.maximum(others, 1), 1.0), rounds=1)

    def _labels(self, k: int) -> Indices:
        """The first n - k joins of the tree done; groups numbered by their first unit."""
        group = np.arange(self.n)
        for joined, (left, right) in enumerate(self._tree[: self.n - k, :2].astype(int) if k < self.n else ()):
            group[(group == left) | (group == right)] = self.n + joined
        _, first, labels = np.unique(group, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels].astype(np.int64)
