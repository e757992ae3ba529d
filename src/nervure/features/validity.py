"""Indices of how well a clustering separates its samples, beside the silhouette: spec ssim-kmeans-pruning, 7.4.

Dunn's index works on a matrix of similarities, the two others on inner products of the samples, from which all
distances to and between centroids follow: once there is a matrix (n, n), a clustering costs O(n^2), however many
values a sample has. All three are 0 where every sample is a cluster of its own, which says nothing of clusters.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nervure.features.silhouette import numbered

__all__ = ["INDICES", "Index", "calinski_harabasz", "davies_bouldin", "dunn", "indices", "inner_products"]

Index = Literal["dunn", "calinski_harabasz", "davies_bouldin"]
INDICES: tuple[Index, ...] = get_args(Index)

Reals = NDArray[np.float64]

LEAST = 1e-6  # distances are known to so much, of 1 - similarity or of the samples' spread; a smaller one counts as it
PART = 1 << 22  # values brought to float64 at a time


def inner_products(samples: Tensor) -> Reals:
    """Inner products of every two samples about their mean, (n, n).

    Parameters
    ----------
    samples : Tensor, (n, ...)
        Read in parts, so that beside them little more than the result is in memory.

    Returns
    -------
    array, (n, n)

    Examples
    --------
    >>> inner_products(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    flat = samples.detach().flatten(1)
    found = torch.zeros(len(flat), len(flat), dtype=torch.float64)
    for part in flat.split(max(1, PART // max(1, len(flat))), dim=1):
        wide = part.to("cpu", torch.float64)
        wide = wide - wide.mean(0)
        found += wide @ wide.T
    return found.numpy()


def dunn(similarity: ArrayLike, labels: ArrayLike) -> float:
    """Dunn's index (1974) with distance 1 - similarity: the least between clusters by the largest within one.

    Parameters
    ----------
    similarity : array, (n, n)
        Symmetric, at most 1; the diagonal is not looked at.
    labels : array, (n,)
        Any integers, two or more different ones.

    Returns
    -------
    float
        0 or more; more is better. Equal samples in every cluster give at most two million, not infinity.

    Examples
    --------
    >>> dunn([[1.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 1.0]], [0, 0, 1])
    1.5
    """
    given = np.asarray(similarity, dtype=np.float64)
    own = numbered("validity of clusters", labels, given)
    apart = own[:, None] != own
    # Similarities, not distances: no second matrix is needed for either extreme.
    nearest = float(np.max(given, initial=-np.inf, where=apart))
    np.fill_diagonal(apart, True)
    farthest = float(np.min(given, initial=np.inf, where=~apart))
    if farthest == np.inf:
        return 0.0
    return max(0.0, 1 - nearest) / max(LEAST, 1 - farthest)


def calinski_harabasz(products: ArrayLike, labels: ArrayLike) -> float:
    """Calinski and Harabasz (1974): ``(between / (K - 1)) / (within / (n - K))`` of squared distances to centroids.

    Parameters
    ----------
    products : array, (n, n)
        Of :func:`inner_products`.
    labels : array, (n,)
        Any integers, two or more different ones.

    Returns
    -------
    float
        0 or more; more is better. Finite also where every cluster's samples are equal.

    Examples
    --------
    >>> calinski_harabasz(inner_products(torch.tensor([[0.0], [2.0], [8.0], [10.0]])), [0, 0, 1, 1])
    32.0
    """
    return _calinski_harabasz(_Centroids.of(products, labels))


def davies_bouldin(products: ArrayLike, labels: ArrayLike) -> float:
    """Davies and Bouldin (1979): ``mean_k max_l (s_k + s_l) / d(c_k, c_l)``, s the mean distance to the centroid.

    Parameters
    ----------
    products : array, (n, n)
        Of :func:`inner_products`.
    labels : array, (n,)
        Any integers, two or more different ones.

    Returns
    -------
    float
        0 or more; less is better. Clusters with equal centroids tell nothing of each other, as in scikit-learn.

    Examples
    --------
    >>> davies_bouldin(inner_products(torch.tensor([[0.0], [2.0], [8.0], [10.0]])), [0, 0, 1, 1])
    0.25
    """
    return _davies_bouldin(_Centroids.of(products, labels))


def indices(similarity: ArrayLike, products: ArrayLike, labels: ArrayLike) -> dict[Index, float]:
    """All three, for the price of two.

    >>> samples = torch.tensor([[0.0], [2.0], [8.0], [10.0]], dtype=torch.float64)
    >>> indices(1 - (samples - samples.T).abs() / 16, inner_products(samples), [0, 0, 1, 1])
    {'dunn': 3.0, 'calinski_harabasz': 32.0, 'davies_bouldin': 0.25}
    """
    found = _Centroids.of(products, labels)
    return {
        "dunn": dunn(similarity, labels),
        "calinski_harabasz": _calinski_harabasz(found),
        "davies_bouldin": _davies_bouldin(found),
    }


class _Centroids(NamedTuple):
    """Which cluster each sample is in (n,), and inner products.

    ``samples`` (n,) are those of each sample with itself, ``to`` (k, n) those of each centroid with every sample,
    ``centres`` (k, k) those of centroids with each other.
    """

    own: NDArray[np.int64]
    samples: Reals
    to: Reals
    centres: Reals

    @classmethod
    def of(cls, products: ArrayLike, labels: ArrayLike) -> _Centroids:
        given = np.asarray(products, dtype=np.float64)
        own = numbered("validity of clusters", labels, given)
        order, sizes = np.argsort(own, kind="stable"), np.bincount(own)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        to = np.add.reduceat(given[order], starts, axis=0) / sizes[:, None]
        return cls(own, np.diagonal(given), to, np.add.reduceat(to[:, order], starts, axis=1) / sizes)


def _calinski_harabasz(found: _Centroids) -> float:
    n, k, total = len(found.own), len(found.to), float(found.samples.sum())
    if k == n or total <= 0:
        return 0.0
    between = float((np.bincount(found.own) * np.diagonal(found.centres)).sum())
    within = max(total - between, LEAST**2 * total)
    return (between / (k - 1)) / (within / (n - k))


def _davies_bouldin(found: _Centroids) -> float:
    own, centres = found.own, np.diagonal(found.centres)
    least = LEAST * np.sqrt(max(0.0, float(found.samples.mean())))
    away = _root(found.samples - 2 * found.to[own, np.arange(len(own))] + centres[own], least)
    spread = np.bincount(own, away) / np.bincount(own)
    between = _root(centres[:, None] - 2 * found.centres + centres, least)
    ratio = np.divide(spread[:, None] + spread, between, out=np.zeros_like(between), where=between > 0)
    return float(ratio.max(axis=1).mean())


def _root(square: Reals, least: float) -> Reals:
    """Distances from their squares; what rounding left of a distance of 0 is 0."""
    found: Reals = np.sqrt(square.clip(min=0))
    return np.where(found > least, found, 0.0)
