"""Controls of clustering: k-means, mixtures and spectral clustering of the samples themselves, without a network.

Source: spec deepcluster, S5; spec neural-mixture-clustering, 6.3. They read the same preprocessed arrays as networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from nervure.data import Dataset
from nervure.data.dataset import Indices
from nervure.errors import InputError
from nervure.nets.sobel import Sobel

__all__ = ["CONTROLS", "Control", "flat"]

Rows = NDArray[np.float32]
Control = Callable[[Dataset, Sequence[Dataset], int, int], list[Indices | None]]
"""``(fitted, others, clusters, seed)`` -> the clusters of each, -1 where there is none, None where it cannot say."""

SPECTRAL = 10_000
"""Samples that spectral clustering takes at most."""


def flat(ds: Dataset, sobel: bool = False) -> Rows:
    """All samples as rows (n, values), as a network reads them; with ``sobel`` their two planes of edges.

    >>> import nervure as nv
    >>> flat(nv.data.load("digits")).shape
    (1797, 64)
    """
    if sobel and ds.kind != "image":
        raise InputError(f"{ds.source}: edges are of images; these samples are of kind {ds.kind}")
    edges = Sobel(ds.in_shape[0]) if sobel else torch.nn.Identity()
    parts = [edges(ds.batch(at).x).flatten(1).numpy() for at in np.array_split(ds.indices(), max(1, len(ds) // 4096))]
    return np.concatenate(parts)


def _kmeans(sobel: bool) -> Control:
    def control(fitted: Dataset, others: Sequence[Dataset], clusters: int, seed: int) -> list[Indices | None]:
        from sklearn.cluster import KMeans

        model = KMeans(clusters, n_init=10, random_state=seed).fit(flat(fitted, sobel))
        return [_whole(model.labels_), *(_whole(model.predict(flat(one, sobel))) for one in others)]

    return control


def _mixture(components: int | None) -> Control:
    def control(fitted: Dataset, others: Sequence[Dataset], clusters: int, seed: int) -> list[Indices | None]:
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture

        rows = [flat(one).astype(np.float64) for one in (fitted, *others)]
        if components is not None:
            pca = PCA(min(components, *rows[0].shape), random_state=seed).fit(rows[0])
            rows = [pca.transform(one) for one in rows]
        shape = "diag" if components is None else "full"
        model = GaussianMixture(clusters, covariance_type=shape, reg_covar=1e-3, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 100 EM steps were not enough is no reason to stop
            model.fit(rows[0])
        return [_whole(model.predict(one)) for one in rows]

    return control


def spectral(fitted: Dataset, others: Sequence[Dataset], clusters: int, seed: int) -> list[Indices | None]:
    """Spectral clustering on the graph of ten nearest neighbours, of at most 10,000 samples; no new ones.

    >>> import nervure as nv
    >>> few = nv.data.load("digits").subset(range(100))
    >>> [None if one is None else len(one) for one in spectral(few, [few], 10, 0)]
    [100, None]
    """
    from sklearn.cluster import SpectralClustering

    count = len(fitted)
    at = np.sort(np.random.default_rng(seed).permutation(count)[:SPECTRAL])
    model = SpectralClustering(
        clusters, affinity="nearest_neighbors", n_neighbors=min(10, len(at) - 1), random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the graph is not connected
        found = model.fit_predict(flat(fitted)[at])
    whole = np.full(count, -1, np.int64)
    whole[at] = found
    return [whole, *(None for _ in others)]


def _whole(found: object) -> Indices:
    return cast(Indices, np.asarray(found, dtype=np.int64))


CONTROLS: dict[str, Control] = {
    "raw-kmeans": _kmeans(sobel=False),
    "sobel-kmeans": _kmeans(sobel=True),
    "raw-gmm": _mixture(None),
    "pca-gmm": _mixture(50),
    "raw-spectral": spectral,
}
"""Methods of the trial ``cluster`` that train nothing."""
