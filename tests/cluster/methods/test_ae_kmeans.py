from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from nervure import cluster
from nervure.errors import InputError

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SMALL = {"latent": 2, "network_options": {"widths": [8]}, "random_state": 0, "device": "cpu"}


def test_it_is_k_means_on_the_final_latents(blobs: Blobs) -> None:
    model = cluster.AEKMeans(3, epochs=4, **SMALL).fit(blobs[0])
    latents = model.transform(blobs[0]).astype(np.float64)
    expected = KMeans(3, n_init=10, random_state=0).fit(latents)
    assert np.allclose(model.cluster_centers_, expected.cluster_centers_, atol=1e-5)
    assert np.array_equal(model.labels_, expected.labels_)


def test_training_sees_no_cluster(blobs: Blobs) -> None:
    two, five = (cluster.AEKMeans(k, epochs=3, **SMALL).fit(blobs[0]) for k in (2, 5))
    assert np.array_equal(two.transform(blobs[0]), five.transform(blobs[0]))
    assert "train_cluster" not in two.run_.history[-1]
    assert two.score(blobs[0]) == five.score(blobs[0])


@pytest.mark.parametrize("kind", [cluster.AEKMeans, cluster.AEGMM])
def test_links_are_refused(blobs: Blobs, kind: type) -> None:
    with pytest.raises(InputError, match="trains without clusters"):
        kind(3, **SMALL).fit(blobs[0], links=([(0, 3)], [(0, 1)]))
