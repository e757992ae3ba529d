"""What trials of clustering measure: agreement with labels on named splits, and the state of the latents."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nervure.data.dataset import Indices
from nervure.features import agreement

__all__ = ["agreement_on", "latent_measures", "mapped", "mean_of", "refitted"]

Latents = NDArray[np.float32]


def agreement_on(split: str, labels: Indices, clusters: Indices) -> dict[str, float]:
    """ACC, NMI by both means and ARI, each named after the split (spec deepcluster, 1.1).

    A cluster of -1 is none: a method that can only group some of the samples is measured on these.

    >>> found = agreement_on("all", np.array([0, 0, 1, 1]), np.array([1, 1, 0, -1]))
    >>> found["acc_all"], round(found["nmi_all"], 6)
    (1.0, 1.0)
    """
    there = clusters >= 0
    labels, clusters = labels[there], clusters[there]
    return {
        f"acc_{split}": agreement.matched_accuracy(labels, clusters),
        f"nmi_{split}": agreement.normalised_mutual_information(labels, clusters),
        f"nmi_arithmetic_{split}": agreement.normalised_mutual_information(labels, clusters, "arithmetic"),
        f"ari_{split}": agreement.adjusted_rand(labels, clusters),
    }


def mapped(labels: Indices, clusters: Indices, new_labels: Indices, new_clusters: Indices) -> float:
    """The share of new samples whose cluster has their class, by the matching found on other samples.

    >>> seen, new = np.array([0, 0, 1, 1]), np.array([0, 1])
    >>> mapped(seen, np.array([5, 5, 2, 2]), new, np.array([5, 5]))
    0.5
    """
    there = clusters >= 0
    named = agreement.matching(labels[there], clusters[there])
    said = np.array([named.get(int(one), -2) for one in new_clusters])
    known = new_labels >= 0
    return float(np.mean(said[known] == new_labels[known]))


def refitted(fitted: Latents, others: Sequence[Latents], clusters: int, seed: int) -> list[Indices]:
    """Clusters of latents by k-means of their own, the best of ten starts on the first of them.

    Where they agree better with labels than a method's own clusters, its centres are stuck and its latents are not
    (spec deepcluster, S9, pitfalls).

    >>> points = np.array([[0.0], [0.1], [5.0]], np.float32)
    >>> first, other = refitted(points, [points[::-1]], 2, 0)
    >>> bool((first == other[::-1]).all())
    True
    """
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # latents that have collapsed hold fewer points than clusters
        model = KMeans(clusters, n_init=10, random_state=seed).fit(fitted)
    return [np.asarray(model.labels_, np.int64), *(np.asarray(model.predict(one), np.int64) for one in others)]


def latent_measures(latents: Latents) -> dict[str, float]:
    """Root of the mean variance of latents (n, d): near 0 where they have collapsed.

    >>> latent_measures(np.array([[0.0, 0.0], [2.0, 0.0]], np.float32))["latent_spread"] ** 2
    0.5000000000000001
    """
    return {"latent_spread": float(np.sqrt(latents.astype(np.float64).var(axis=0).mean()))}


def mean_of(found: Mapping[str, Mapping[str, float]], each: Sequence[str] = ()) -> dict[str, float]:
    """The mean of every measure that all parts have; of measures in ``each`` also every part's, named after it.

    >>> mean_of({"a": {"acc": 0.5, "n": 1}, "b": {"acc": 1.0}}, each=("acc",))
    {'acc': 0.75, 'acc a': 0.5, 'acc b': 1.0}
    """
    parts = list(found.values())
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    means = {name: float(np.mean([part[name] for part in parts])) for name in shared}
    return means | {f"{name} {key}": part[name] for name in each for key, part in found.items() if name in part}
