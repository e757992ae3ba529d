"""Where k-means begins: which filters are drawn, and how many make a first centroid.

Spec ssim-kmeans-pruning, 2.3 and 7.3.
``multi-point`` (Hussain and Haris) draws filters evenly and takes the mean of each with those most similar to it.
``k-means++`` (Arthur and Vassilvitskii 2007) draws filters far from those drawn before, and begins at them.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nervure.errors import InputError

__all__ = ["Init", "drawn", "far_apart", "initial_filters", "initial_groups"]

Init = Literal["multi-point", "k-means++"]
Indices = NDArray[np.int64]

# Largest K for which 5, 4, 3 and 2 filters make an initial centroid, as published for these layer sizes.
_SCHEDULE = {
    64: (10, 14, 20, 31),
    128: (20, 28, 40, 62),
    256: (40, 56, 80, 112),
    512: (80, 112, 160, 224),
}


def initial_filters(n: int, k: int, init: Init = "multi-point") -> int:
    """How many filters make an initial centroid (ic) of k clusters of n filters.

    As published for 64, 128, 256 and 512 filters, and like shares of n for others; k times it is at most n. One with
    ``"k-means++"``.

    >>> [initial_filters(64, k) for k in (10, 11, 20, 31, 32)], initial_filters(64, 10, "k-means++")
    ([5, 4, 3, 2, 1], 1)
    """
    limits = _SCHEDULE.get(n) or tuple(n * share // 64 for share in (10, 14, 20, 28))
    fewer = (count for count, limit in zip((5, 4, 3, 2), limits, strict=True) if k <= limit)
    return next(fewer, 1) if init == "multi-point" else 1


def drawn(matrix: NDArray[np.float32], k: int, seed: int, init: Init) -> Indices:
    """The k different filters, of ``matrix`` (n, n) of similarities, at which k-means begins.

    >>> sorted(drawn(np.eye(4, dtype=np.float32), 4, 0, "multi-point").tolist())
    [0, 1, 2, 3]
    """
    if init not in get_args(Init):
        raise InputError(f"SSIM k-means: init = {init!r}; give one of {', '.join(get_args(Init))}")
    if init == "k-means++":
        return far_apart(matrix, k, seed)
    return np.random.default_rng(seed).permutation(len(matrix))[:k]


def far_apart(matrix: NDArray[np.float32], k: int, seed: int) -> Indices:
    """One filter drawn evenly; each further one by its squared distance 1 - similarity to the nearest one drawn.

    Filters equal to drawn ones are drawn, evenly, once no others are left.

    >>> pairs = np.kron(np.eye(2), np.ones((2, 2))).astype(np.float32)
    >>> [sorted(far_apart(pairs, 2, seed) // 2) == [0, 1] for seed in range(3)]
    [True, True, True]
    """
    random = np.random.default_rng(seed)
    free = np.ones(len(matrix), dtype=bool)
    nearest = np.ones(len(matrix))
    found = np.empty(k, dtype=np.int64)
    for at in range(k):
        chance = nearest * free
        bounds = np.cumsum(chance if chance.any() else free)
        found[at] = one = np.searchsorted(bounds, random.random() * bounds[-1], side="right")
        free[one] = False
        far = (1 - matrix[one].astype(np.float64)).clip(min=0) ** 2
        nearest = np.minimum(nearest, far) if at else far
    return found


def initial_groups(seeds: Indices, order: Indices, count: int) -> list[Indices]:
    """Each seed with its ``count - 1`` most similar filters that no group has; seeds in the order drawn.

    ``order`` (n, n) has each filter's others, the most similar first.

    >>> [group.tolist() for group in initial_groups(np.array([2, 0]), np.array([[0, 1, 2], [1, 2, 0], [2, 1, 0]]), 1)]
    [[2], [0]]
    """
    free = np.ones(len(order), dtype=bool)
    free[seeds] = False
    groups = []
    for seed in seeds:
        near = order[seed][free[order[seed]]][: count - 1]
        free[near] = False
        groups.append(np.sort(np.append(near, seed)))
    return groups
