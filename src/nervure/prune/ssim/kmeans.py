"""K-means with SSIM in place of distance: spec ssim-kmeans-pruning, 2.3, 6.3 and 6.5.

A filter goes to the centroid that it is most similar to; a centroid is the mean of its members' weights. The
mean does not maximise similarity, so rounds may go in a cycle: that, too, ends the search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nervure.errors import InputError
from nervure.prune.ssim.initial import Indices, Init, drawn, initial_filters, initial_groups

__all__ = [
    "STOPS", "Clustering", "Job", "Memory", "Space", "fill_empty", "kmeans", "kmeans_many", "seed_of",
]  # fmt: skip

Columns = NDArray[np.float32]

STOPS = ("converged", "cycle", "limit")
DECIMALS = 5  # similarities are compared at these, so that a label does not hang on the last bit
REMEMBERED = 1 << 27  # bytes of similarities to centroids kept for reuse


class Space(Protocol):
    """What k-means needs of a layer: :class:`nervure.features.ssim.Filters` is one."""

    @property
    def n(self) -> int:
        """How many filters."""
        ...

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Similarity of every two filters, (n, n)."""
        ...

    def with_means(self, groups: Sequence[Indices]) -> NDArray[np.float64]:
        """Similarity of the mean of each group with every filter, (groups, n)."""
        ...


class Job(NamedTuple):
    """One clustering to make: ``k`` clusters, ``initial`` filters in a first centroid (None: the schedule)."""

    k: int
    seed: int
    initial: int | None = None


@dataclass(frozen=True, eq=False)
class Clustering:
    """Filters in exactly k clusters.

    Parameters
    ----------
    labels : array, (n,)
        In 0..k-1; none is empty.
    closeness : array, (n,)
        Similarity of each filter to its own centroid.
    rounds : int
        Assignments made.
    repaired : int
        Filters moved into empty clusters on the way.
    stop : str
        ``"converged"``, ``"cycle"`` or ``"limit"``.
    initial : int
        Filters that made each first centroid; 0 where nothing was begun with.
    """

    labels: Indices
    closeness: NDArray[np.float64]
    rounds: int = 0
    repaired: int = 0
    stop: str = "converged"
    initial: int = 0

    @property
    def k(self) -> int:
        """How many clusters."""
        return int(self.labels.max()) + 1

    def representatives(self) -> Indices:
        """The member of each cluster most similar to its centroid, (k,), spec ssim-kmeans-pruning, 2.6.

        >>> Clustering(np.array([0, 1, 0]), np.array([0.5, 1.0, 0.9])).representatives()
        array([2, 1])
        """
        order = np.lexsort((np.arange(len(self.labels)), -self.closeness.round(DECIMALS), self.labels))
        first = np.searchsorted(self.labels[order], np.arange(self.k))
        return order[first]


def seed_of(seed: int, *parts: object) -> int:
    """A seed for one piece of work, from its name alone, so that pieces may be done in any order.

    >>> seed_of(0, "conv1", 24, 3) == seed_of(0, "conv1", 24, 3), seed_of(0, "a", 1) == seed_of(0, "a", 2)
    (True, False)
    """
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def kmeans(
    space: Space,
    k: int,
    *,
    seed: int,
    initial: int | None = None,
    init: Init = "multi-point",
    limit: int = 100,
    memory: bool = True,
) -> Clustering:
    """Group a layer's filters into k clusters.

    Parameters
    ----------
    space : Space
        The layer, as :class:`nervure.features.ssim.Filters`.
    k : int
        From 1 to n.
    seed : int
        Draws the first filters.
    initial : int, optional
        Filters that make an initial centroid; :func:`~nervure.prune.ssim.initial.initial_filters` otherwise.
    init : str
        How the first filters are drawn: ``"multi-point"`` or ``"k-means++"``.
    limit : int
        Rounds at most.
    memory : bool
        Reuse what was computed; the labels are the same without.

    Returns
    -------
    Clustering

    Examples
    --------
    >>> import torch
    >>> from nervure.features.ssim import Filters
    >>> shape = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> layer = Filters(torch.cat([shape + 0.01, shape, shape - 0.01]))
    >>> found = kmeans(layer, 2, seed=1, initial=1)
    >>> bool((found.labels[:2] == found.labels[2:4]).all()), found.stop
    (True, 'converged')
    """
    return kmeans_many(space, [Job(k, seed, initial)], init=init, limit=limit, memory=memory)[0]


def kmeans_many(
    space: Space,
    jobs: Sequence[Job],
    *,
    init: Init = "multi-point",
    limit: int = 100,
    memory: bool | Memory = True,
) -> list[Clustering]:
    """Several clusterings of one layer side by side: each is what :func:`kmeans` gives for it alone.

    ``memory`` may be a :class:`Memory` of the same layer, to go on with what it holds.

    >>> import torch
    >>> from nervure.features.ssim import Filters
    >>> layer = Filters(torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    >>> [found.k for found in kmeans_many(layer, [Job(2, 0), Job(5, 0)])]
    [2, 5]
    """
    if isinstance(memory, bool):
        memory = Memory(space, REMEMBERED if memory else 0)
    order = np.argsort(-memory.matrix, axis=1, kind="stable")
    found: list[Clustering | None] = [None] * len(jobs)
    active: dict[int, tuple[_Rounds, list[Indices]]] = {}
    for at, job in enumerate(jobs):
        if not 1 <= job.k <= space.n:
            raise InputError(f"SSIM k-means: k = {job.k} for {space.n} filters; give 1 to {space.n}")
        count = initial_filters(space.n, job.k, init) if job.initial is None else job.initial
        if count < 1 or count * job.k > space.n:
            raise InputError(f"SSIM k-means: {job.k} centroids of {count} filters need more than {space.n} filters")
        first = initial_groups(drawn(memory.matrix, job.k, job.seed, init), order, count)
        rounds = _rounds(space.n, first, count, limit)
        active[at] = (rounds, next(rounds))
    while active:
        columns = memory.similarity([group for _, groups in active.values() for group in groups])
        begin = 0
        for at, (rounds, groups) in list(active.items()):
            part = columns[begin : begin + len(groups)]
            begin += len(groups)
            try:
                active[at] = (rounds, rounds.send(part))
            except StopIteration as end:
                found[at] = end.value
                del active[at]
    return [one for one in found if one is not None]


class Memory:
    """Similarities of centroids to all filters, by the centroid's members: computed once, if there is room.

    Parameters
    ----------
    space : Space
    limit : int
        Bytes; 0 for computing everything anew, single filters too.
    """

    def __init__(self, space: Space, limit: int = REMEMBERED) -> None:
        self.space = space
        self.matrix: Columns = space.matrix.astype(np.float32).round(DECIMALS)
        self.limit = limit // (4 * space.n)
        self._known: dict[bytes, Columns] = {}

    def similarity(self, groups: Sequence[Indices]) -> Columns:
        """Of each group's mean to every filter, (groups, n), rounded."""
        if not self.limit:
            return self._computed(groups)
        keys = [group.tobytes() for group in groups]
        missing = {
            key: group for key, group in zip(keys, groups, strict=True) if len(group) > 1 and key not in self._known
        }
        fresh = dict(zip(missing, self._computed(list(missing.values())), strict=True))
        result = np.stack(
            [
                self.matrix[group[0]] if len(group) == 1 else fresh[key] if key in fresh else self._known[key]
                for key, group in zip(keys, groups, strict=True)
            ]
        )
        self._known |= fresh
        while len(self._known) > self.limit:
            del self._known[next(iter(self._known))]
        return result

    def _computed(self, groups: Sequence[Indices]) -> Columns:
        return self.space.with_means(groups).astype(np.float32).round(DECIMALS)


_Rounds = Generator[list[Indices], Columns, Clustering]


def _rounds(n: int, first: list[Indices], initial: int, limit: int) -> _Rounds:
    """Assign and update until nothing changes; asks for similarities of groups, is sent them."""
    k = len(first)
    columns = (yield first).copy()
    labels = np.full(n, -1)
    seen: set[bytes] = set()
    repaired, stop, made = 0, "limit", 0
    while made < limit:
        made += 1
        fresh = columns.argmax(axis=0)
        repaired += fill_empty(fresh, columns, k)
        moved = fresh != labels
        if not moved.any():
            stop = "converged"
            break
        changed = np.unique(np.concatenate([fresh[moved], labels[moved]])) if made > 1 else np.arange(k)
        labels = fresh
        columns[changed] = yield _members(labels, changed)
        key = labels.tobytes()
        if key in seen:
            stop = "cycle"
            break
        seen.add(key)
    closeness = columns[labels, np.arange(n)].astype(np.float64)
    return Clustering(labels, closeness, made, repaired, stop, initial)


def fill_empty(labels: Indices, columns: Columns, k: int) -> int:
    """Move the filter least similar to its own centroid into each empty cluster, in their order.

    >>> labels = np.array([0, 0, 0])
    >>> fill_empty(labels, np.array([[0.9, 0.2, 0.8], [0, 0, 0]], np.float32), 2), labels
    (1, array([0, 1, 0]))
    """
    counts = np.bincount(labels, minlength=k)
    empty = np.flatnonzero(counts == 0)
    for cluster in empty:
        closeness = columns[labels, np.arange(len(labels))]
        movable = np.flatnonzero(counts[labels] >= 2)
        loose = movable[closeness[movable].argmin()]
        counts[labels[loose]] -= 1
        counts[cluster] += 1
        labels[loose] = cluster
    return len(empty)


def _members(labels: Indices, clusters: Indices) -> list[Indices]:
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.stack([clusters, clusters + 1]))
    return [order[begin:end] for begin, end in bounds.T]
