"""How well clusters agree with classes: spec deepcluster, 1.1.

Everything is counted from one table of classes by clusters. Samples whose label is -1 are unknown and left out.
Nothing here changes when classes or clusters are renamed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.errors import InputError

__all__ = [
    "Confusion",
    "adjusted_rand",
    "confusion_after_matching",
    "effective_number",
    "matched_accuracy",
    "matching",
    "normalised_mutual_information",
    "purity",
]

Counts = NDArray[np.int64]


class Confusion(NamedTuple):
    """Counts (classes, clusters) int64, and which classes its rows and which clusters its columns are."""

    counts: Counts
    classes: Counts
    clusters: Counts


def matching(labels: ArrayLike, clusters: ArrayLike) -> dict[int, int]:
    """The class of each cluster, one to one, so that most samples agree (Hungarian method).

    Where there are more clusters than classes the rest have no class and are absent; where there are fewer, some
    classes have no cluster.

    Parameters
    ----------
    labels, clusters : (n,) int
        Classes, -1 where unknown, and clusters.

    Examples
    --------
    >>> matching([0, 0, 1, 1, -1], [7, 7, 3, 3, 5])
    {3: 1, 7: 0}
    """
    table = _table(labels, clusters)
    return {
        int(table.clusters[c]): int(table.classes[r]) for c, r in sorted((c, r) for r, c in _assigned(table.counts))
    }


def matched_accuracy(labels: ArrayLike, clusters: ArrayLike) -> float:
    """ACC: the share of samples that agree under the best :func:`matching` (spec deepcluster, Eq 3.15).

    >>> matched_accuracy([0, 0, 1, 1], [5, 5, 5, 2])
    0.75
    """
    counts = _table(labels, clusters).counts
    return float(sum(int(counts[at]) for at in _assigned(counts)) / counts.sum())


def confusion_after_matching(labels: ArrayLike, clusters: ArrayLike) -> Confusion:
    """The table of classes by clusters with matched pairs on its diagonal; clusters without a class come last.

    Classes are in order of their number; one without a cluster has a column of zeros in its place, named -1, so
    that all others stay on the diagonal. Clusters without a class follow, the largest first.

    >>> found = confusion_after_matching([0, 0, 1, 1], [5, 5, 5, 2])
    >>> found.counts.tolist(), found.clusters.tolist()
    ([[2, 0], [1, 1]], [5, 2])
    """
    table = _table(labels, clusters)
    counts = table.counts
    column = np.full(len(counts), -1)
    for row, place in _assigned(counts):
        column[row] = place
    left = np.setdiff1d(np.arange(counts.shape[1]), column)
    left = left[np.argsort(-counts[:, left].sum(axis=0), kind="stable")]
    order = np.concatenate([column, left]).astype(np.int64)
    names = np.where(order < 0, -1, table.clusters[order])
    return Confusion(np.where(order < 0, 0, counts[:, order]), table.classes, names)


def normalised_mutual_information(
    labels: ArrayLike, clusters: ArrayLike, average: Literal["geometric", "arithmetic"] = "geometric"
) -> float:
    """NMI: mutual information over the mean of both entropies (spec deepcluster, Eq 3.16).

    Geometric, as printed, or arithmetic, as scikit-learn's default. One class in one cluster gives 1; otherwise an
    entropy of 0 gives 0.

    >>> round(normalised_mutual_information([0, 0, 1, 1], [1, 1, 0, 0]), 12)
    1.0
    """
    if average not in ("geometric", "arithmetic"):
        raise InputError(f"normalised mutual information: average = {average!r}; give geometric or arithmetic")
    counts = _table(labels, clusters).counts
    if min(counts.shape) == 1:
        return float(counts.shape == (1, 1))
    by_class, by_cluster = _entropy(counts.sum(axis=1)), _entropy(counts.sum(axis=0))
    mutual = max(0.0, by_class + by_cluster - _entropy(counts.ravel()))
    mean = np.sqrt(by_class * by_cluster) if average == "geometric" else (by_class + by_cluster) / 2
    return float(min(1.0, mutual / mean))


def adjusted_rand(labels: ArrayLike, clusters: ArrayLike) -> float:
    """ARI: agreement on pairs of samples, 0 in the mean by chance and 1 at most (Hubert and Arabie, 1985).

    >>> adjusted_rand([0, 0, 1, 1], [0, 0, 1, 2])
    0.5714285714285714
    """
    counts = _table(labels, clusters).counts
    both, one, other, every = (_pairs(part) for part in (counts, counts.sum(1), counts.sum(0), counts.sum()))
    # In whole numbers: twice the numerator and the denominator, each times the number of all pairs.
    above, below = 2 * (both * every - one * other), (one + other) * every - 2 * one * other
    return above / below if below else 1.0


def purity(labels: ArrayLike, clusters: ArrayLike) -> float:
    """The share of samples that are of the commonest class of their cluster.

    >>> purity([0, 0, 1, 1], [0, 0, 0, 1])
    0.75
    """
    counts = _table(labels, clusters).counts
    return float(counts.max(axis=0).sum() / counts.sum())


def effective_number(sizes: ArrayLike) -> float:
    """How many clusters there are in effect: the exponential of the entropy of their sizes (k,), counts or masses.

    Equal sizes give their number, one cluster that holds everything gives 1, nothing at all 0.

    >>> effective_number([5, 5, 0]), effective_number([0, 9])
    (2.0, 1.0)
    """
    given = np.asarray(sizes, dtype=np.float64)
    if given.ndim != 1 or not np.isfinite(given).all() or (given < 0).any():
        raise InputError("effective number: sizes must be one row of numbers from 0 up")
    if not given.any():
        return 0.0
    share = given[given > 0] / given.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _table(labels: ArrayLike, clusters: ArrayLike) -> Confusion:
    """Counts of classes by clusters, without samples of unknown class."""
    given = [np.asarray(one) for one in (labels, clusters)]
    for name, one in zip(("labels", "clusters"), given, strict=True):
        if one.ndim != 1 or (one.dtype.kind not in "biu" and len(one)):
            raise InputError(f"agreement: {name} of shape {one.shape} and type {one.dtype}; give (n,) whole numbers")
    if len(given[0]) != len(given[1]):
        raise InputError(f"agreement: {len(given[0])} labels and {len(given[1])} clusters; give one of each a sample")
    known = given[0] != -1
    if not known.any():
        raise InputError("agreement: no sample has a known label; there is nothing to compare with")
    classes, row = np.unique(given[0][known].astype(np.int64), return_inverse=True)
    found, column = np.unique(given[1][known].astype(np.int64), return_inverse=True)
    flat = np.bincount(row * len(found) + column, minlength=len(classes) * len(found))
    return Confusion(flat.reshape(len(classes), len(found)), classes, found)


def _assigned(counts: Counts) -> list[tuple[int, int]]:
    """Pairs (row, column), each used once, of the largest sum."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(counts, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def _entropy(sizes: Counts) -> float:
    """Entropy of sizes, in nats."""
    share = sizes[sizes > 0] / sizes.sum()
    return float(-(share * np.log(share)).sum())


def _pairs(sizes: Counts | np.int64) -> int:
    """How many pairs lie within groups of these sizes, doubled, exactly."""
    return sum(int(size) * (int(size) - 1) for size in np.ravel(sizes))
