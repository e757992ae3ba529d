"""Agreement of a clustering with itself over seeds: of the whole, of each cluster, of each sample."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.errors import InputError
from nervure.evidence import Matrix, Table
from nervure.features import agreement

if TYPE_CHECKING:
    from nervure.cluster.counts import Kept
    from nervure.cluster.estimator import DeepClusterer
    from nervure.data.dataset import Dataset
    from nervure.data.links import Given

__all__ = ["STABLE", "Stability", "agreements", "consensus", "jaccards", "over_seeds", "seeds_from", "stability"]

STABLE = 0.75
"""From here on a cluster's mean Jaccard index over seeds is called stable (Hennig 2007)."""

Labels = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Told how many fits are done, and of how many."""


@dataclass(frozen=True, eq=False)
class Stability:
    """What several seeds agree on.

    Parameters
    ----------
    seeds : tuple of int
        One fit each.
    agreement : array (seeds, seeds)
        Adjusted Rand index of each pair of fits.
    reference : int
        The row whose fit agrees most with the others; clusters are numbered as it did.
    labels : array (n,)
        The consensus: the cluster that most fits put a sample into; of equals the reference's.
    certainty : array (n,)
        The share of fits that agree with it.
    jaccard : array (clusters,)
        For each of the reference's clusters, the mean over the other fits of its Jaccard index with the cluster there
        that is most like it; NaN for a cluster without members.

    Examples
    --------
    >>> found = over_seeds(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]]), (0, 1, 2))
    >>> found.labels.tolist(), found.certainty.round(2).tolist(), found.stable
    ([0, 0, 1, 1], [1.0, 0.67, 1.0, 1.0], (0, 1))
    """

    seeds: tuple[int, ...]
    agreement: NDArray[np.float64]
    reference: int
    labels: Labels
    certainty: NDArray[np.float64]
    jaccard: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean adjusted Rand index of a pair of fits."""
        return float(_pairs(self.agreement).mean())

    @property
    def stable(self) -> tuple[int, ...]:
        """Clusters whose mean Jaccard index is at least :data:`STABLE`."""
        return tuple(int(one) for one in np.flatnonzero(np.nan_to_num(self.jaccard) >= STABLE))

    def matrix(self) -> Matrix:
        """The agreement of each pair of fits, as a figure."""
        names = [f"seed {seed}" for seed in self.seeds]
        return Matrix(
            title=f"Agreement over seeds: {self.mean:.2f}",
            alt=f"Adjusted Rand index of each pair of {len(names)} fits that differ in the seed alone; "
            f"from {_pairs(self.agreement).min():.2f} to {_pairs(self.agreement).max():.2f}, {self.mean:.2f} in the "
            "mean. 1: the same clusters; 0: no more alike than by chance.",
            values=self.agreement,
            rows=names,
            columns=names,
        )

    def table(self) -> Table:
        """A line for each cluster: its size, its Jaccard index over seeds, and how certain its samples are."""
        rows = []
        for cluster, value in enumerate(self.jaccard):
            members = self.labels == cluster
            sure = float(self.certainty[members].mean()) if members.any() else None
            word = "yes" if cluster in self.stable else "no"
            rows.append((cluster, int(members.sum()), None if np.isnan(value) else float(value), sure, word))
        return Table(
            title=f"Stable clusters: {len(self.stable)} of {len(self.jaccard)}",
            alt=f"Of {len(self.jaccard)} clusters {len(self.stable)} are found again over {len(self.seeds)} seeds, "
            f"with a mean Jaccard index of at least {STABLE}.",
            columns=("cluster", "samples", "Jaccard over seeds", "certainty", "stable"),
            rows=rows,
        )


def stability(
    estimator: DeepClusterer,
    x: Any,
    seeds: int = 5,
    *,
    labels: ArrayLike | None = None,
    links: Given | None = None,
    first: ArrayLike | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> Stability:
    """Fit clones of an estimator with several seeds, and see what they agree on.

    Parameters
    ----------
    estimator : DeepClusterer
        It is not changed; the first seed is its ``random_state`` if that is a number, else 0.
    x : array or Dataset
        As its ``fit`` takes it.
    seeds : int
        How many fits.
    labels, links : optional
        What supervises every fit, as its ``fit`` takes them.
    first : array (n,), optional
        The clusters that such a fit with the first seed has found; it is not made again.
    out : path, optional
        A folder that keeps each fit's clusters and the training that is under way; a second call with it goes on from
        there.
    progress : callable, optional
        Told after each fit how many are done, and of how many.

    Examples
    --------
    >>> import nervure as nv
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> found = stability(nv.cluster.AEKMeans(2, epochs=5), x, seeds=2)
    >>> found.mean, found.stable, found.certainty.min()
    (1.0, (0, 1), np.float64(1.0))
    """
    from sklearn.base import clone

    from nervure.cluster.counts import Fit, run_in
    from nervure.cluster.samples import to_dataset

    chosen = seeds_from(estimator, seeds)
    ds = to_dataset(clone(estimator), x, estimator.scaling)
    kept, k = _kept(estimator, ds, labels, links, None if out is None else Path(out)), int(estimator.n_clusters)
    if first is not None:
        kept.fits[k, chosen[0]] = Fit(k, chosen[0], np.asarray(first, dtype=np.int64), None)

    def fit(seed: int, place: Path | None) -> Fit:
        model = clone(estimator).set_params(random_state=seed)
        run_in(model, ds, place, labels=labels, links=links)
        return Fit(k, seed, model.labels_, None)

    rows = []
    for done, seed in enumerate(chosen, 1):
        rows.append(kept.get(k, seed, functools.partial(fit, seed)).labels)
        if progress is not None:
            progress(done, len(chosen))
    return over_seeds(np.stack(rows), chosen)


def _kept(
    estimator: DeepClusterer, ds: Dataset, labels: ArrayLike | None, links: Given | None, path: Path | None
) -> Kept:
    """The fits that a folder keeps, if it is there; those of another method, of other data or labels are refused."""
    from nervure.cluster.check import check_links
    from nervure.cluster.counts import Kept, about
    from nervure.cluster.samples import known_labels
    from nervure.data.dataset import hash_arrays

    known = known_labels(labels, len(ds), getattr(estimator, "parents", ()), train=ds.indices("train"))
    pairs = () if links is None else check_links(links, ds, estimator.n_clusters)
    settings = {
        **about(estimator, ds),
        "set of labels": hash_arrays(known),
        "set of links": hash_arrays(*pairs),
    }
    return Kept(settings, path)


def seeds_from(estimator: DeepClusterer, count: int, least: int = 2) -> tuple[int, ...]:
    """So many seeds, from the estimator's own ``random_state`` on, or from 0.

    >>> import nervure as nv
    >>> seeds_from(nv.cluster.DCAEKMeans(2, random_state=7), 3)
    (7, 8, 9)
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
        raise InputError(f"seeds = {count}; give a whole number from {least}, since seeds are held against one another")
    own = estimator.random_state
    first = int(own) if isinstance(own, int | np.integer) else 0
    return tuple(range(first, first + int(count)))


def over_seeds(labels: Labels, seeds: Sequence[int]) -> Stability:
    """What fits agree on, from their labels (seeds, n); see :class:`Stability`."""
    pairs = agreements(labels)
    reference = int(pairs.sum(axis=1).argmax())
    agreed, certainty = consensus(labels, reference)
    return Stability(tuple(seeds), pairs, reference, agreed, certainty, jaccards(labels, reference))


def agreements(labels: Labels) -> NDArray[np.float64]:
    """Adjusted Rand index of each pair of rows of (fits, n): (fits, fits), 1 on the diagonal.

    >>> agreements(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])).round(2).tolist()
    [[1.0, 1.0, -0.5], [1.0, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    found = np.eye(len(labels))
    for one in range(len(labels)):
        for other in range(one):
            found[one, other] = found[other, one] = agreement.adjusted_rand(labels[one], labels[other])
    return found


def consensus(labels: Labels, reference: int) -> tuple[Labels, NDArray[np.float64]]:
    """The cluster that most rows of (fits, n) put each sample into (n,), and the share of rows that do (n,).

    Clusters are matched to the reference row's, one to one; a cluster without a match agrees with none.

    >>> consensus(np.array([[0, 0, 1], [1, 1, 0], [0, 1, 1]]), 0)
    (array([0, 0, 1]), array([1.        , 0.66666667, 1.        ]))
    """
    count = int(labels[reference].max()) + 1
    votes = np.zeros((labels.shape[1], count))
    every = np.arange(labels.shape[1])
    for row in labels:
        match = agreement.matching(labels[reference], row)
        mine = np.array([match.get(one, -1) for one in range(int(row.max()) + 1)])[row]
        votes[every[mine >= 0], mine[mine >= 0]] += 1
    votes[every, labels[reference]] += 0.5  # of equals the reference's
    chosen = votes.argmax(axis=1)
    share = (votes[every, chosen] - 0.5 * (chosen == labels[reference])) / len(labels)
    return chosen.astype(np.int64), share


def jaccards(labels: Labels, reference: int) -> NDArray[np.float64]:
    """Mean Jaccard index of each cluster of the reference row with the most similar one of every other row: (k,).

    >>> jaccards(np.array([[0, 0, 1, 1], [0, 1, 1, 1]]), 0).round(3).tolist()
    [0.5, 0.667]
    """
    own = labels[reference]
    count = int(own.max()) + 1
    found = []
    for row in np.delete(labels, reference, axis=0):
        theirs = int(row.max()) + 1
        shared = np.bincount(own * theirs + row, minlength=count * theirs).reshape(count, theirs)
        either = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
        found.append((shared / np.maximum(either, 1)).max(axis=1))
    mean = np.mean(found, axis=0)
    return np.where(np.bincount(own, minlength=count) > 0, mean, np.nan)


def _pairs(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values above the diagonal."""
    found: NDArray[np.float64] = matrix[np.triu_indices(len(matrix), 1)]
    return found
