from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from nervure import cluster

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SMALL = {"latent": 2, "network_options": {"widths": [8]}, "random_state": 0, "device": "cpu"}


def test_it_is_a_mixture_of_the_final_latents(blobs: Blobs) -> None:
    model = cluster.AEGMM(3, epochs=4, **SMALL).fit(blobs[0])
    latents = model.transform(blobs[0]).astype(np.float64)
    expected = GaussianMixture(3, n_init=5, reg_covar=1e-2, random_state=0).fit(latents)
    assert np.allclose(model.predict_proba(blobs[0]), expected.predict_proba(latents), atol=1e-3)


def test_its_latents_are_those_of_ae_kmeans(blobs: Blobs) -> None:
    one, other = (kind(3, epochs=3, **SMALL).fit(blobs[0]) for kind in (cluster.AEGMM, cluster.AEKMeans))
    assert np.array_equal(one.transform(blobs[0]), other.transform(blobs[0]))
