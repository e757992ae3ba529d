"""Silhouettes of a clustering from a matrix of similarities: spec ssim-kmeans-pruning, 2.4.

Three readings. ``distance`` is the ordinary silhouette (Rousseeuw 1987) with distance 1 - similarity.
``sim_max`` and ``thesis_min`` work on similarity + 1; the first compares with the most similar other cluster,
the second, as Al Dallal (2021) printed it, with the least similar one. ``thesis_min`` has an interior peak on
filters without any structure, so it must be read beside its own null curve.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.errors import InputError

__all__ = ["KINDS", "Kind", "numbered", "score", "scores", "silhouettes"]

Kind = Literal["thesis_min", "sim_max", "distance"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def silhouettes(similarity: ArrayLike, labels: ArrayLike, kind: Kind = "distance") -> NDArray[np.float64]:
    """How well each sample lies in its cluster, in (-1, 1); 0 for the only member of a cluster.

    Parameters
    ----------
    similarity : array, (n, n)
        Symmetric, at most 1; the diagonal is not looked at.
    labels : array, (n,)
        Any integers, two or more different ones.
    kind : str
        ``"distance"``, ``"sim_max"`` or ``"thesis_min"``.

    Returns
    -------
    array, (n,)

    Examples
    --------
    >>> similarity = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]])
    >>> silhouettes(similarity, [0, 0, 1]).round(3)
    array([0.889, 0.9  , 0.   ])
    """
    if kind not in KINDS:
        raise InputError(f"silhouette: kind = {kind!r}; give one of {', '.join(KINDS)}")
    return _silhouettes(*_mean_similarity(similarity, labels), kind)


def score(similarity: ArrayLike, labels: ArrayLike, kind: Kind = "distance") -> float:
    """The mean silhouette of all samples.

    >>> score(np.eye(4), [0, 0, 1, 1])
    0.0
    """
    return float(silhouettes(similarity, labels, kind).mean())


def scores(similarity: ArrayLike, labels: ArrayLike) -> dict[Kind, float]:
    """The mean silhouette of each kind, for little more than the price of one.

    >>> found = scores(np.ones((4, 4)), [0, 0, 1, 1])
    >>> {kind: found[kind] for kind in sorted(found)}
    {'distance': 0.0, 'sim_max': 0.0, 'thesis_min': 0.0}
    """
    within, between, single = _mean_similarity(similarity, labels)
    return {kind: float(_silhouettes(within, between, single, kind).mean()) for kind in KINDS}


def numbered(what: str, labels: ArrayLike, given: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which cluster each sample of a matrix (n, n) is in, counted from 0; ``what`` is to be measured, for messages.

    >>> numbered("silhouette", [7, 3, 7], np.eye(3)).tolist()
    [1, 0, 1]
    """
    _, own = np.unique(np.asarray(labels), return_inverse=True)
    if given.shape != (len(own), len(own)):
        raise InputError(f"{what}: a matrix of shape {given.shape} and {len(own)} labels do not fit")
    if not own.any():
        raise InputError(f"{what}: all samples are in one cluster; it takes two or more")
    return own.astype(np.int64)


def _mean_similarity(
    similarity: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Of each sample, the mean similarity to the others of its own cluster (n,) and to each other one (n, k).

    Its own cluster's column there holds NaN. Also, which samples are alone in their cluster.
    """
    given = np.asarray(similarity, dtype=np.float64)
    own = numbered("silhouette", labels, given)
    n = len(own)
    order = np.argsort(own, kind="stable")
    counts = np.bincount(own)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(given[:, order], starts, axis=1)
    every = np.arange(n)
    single = counts[own] == 1
    within = (sums[every, own] - given[every, every]) / np.maximum(counts[own] - 1, 1)
    between = sums / counts
    between[every, own] = np.nan
    return within, between, single


def _silhouettes(
    within: NDArray[np.float64], between: NDArray[np.float64], single: NDArray[np.bool_], kind: Kind
) -> NDArray[np.float64]:
    if kind == "distance":
        own, other = 1 - within, 1 - np.nanmax(between, axis=1)
        gain = other - own
    else:
        own = 1 + within
        other = 1 + (np.nanmin if kind == "thesis_min" else np.nanmax)(between, axis=1)
        gain = own - other
    largest = np.maximum(own, other)
    found = np.divide(gain, largest, out=np.zeros_like(gain), where=largest > 0)
    return np.where(single, 0.0, found)
