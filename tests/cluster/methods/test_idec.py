from __future__ import annotations

import numpy as np
import pytest

from nervure import cluster, data


@pytest.mark.parametrize(("kind", "network"), [(cluster.IDEC, "autoencoder"), (cluster.DCEC, "conv-autoencoder")])
def test_dense_or_convolutional(kind: type, network: str) -> None:
    x = np.random.default_rng(0).uniform(size=(30, 8, 8))
    ds = data.from_arrays(x, splits={"train": np.arange(30)}, validation=0, test=0)
    method = kind(3).prepared(ds)[1]
    assert method.network == network
    assert method.recipe.objective_options["alone"] is False
    assert method.recipe.objective_options["weight"] == 0.1


def test_a_tiny_weight_is_the_auto_encoder() -> None:
    """Without the clustering term latents are those of reconstruction alone."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    shared = {"epochs": 3, "latent": 2, "network_options": {"widths": [8]}, "random_state": 0, "patience": 0}
    zero = cluster.IDEC(3, weight=0.0, warmup=1, **shared).fit(x)
    alone = cluster.AEKMeans(3, reduction="mean", **shared).fit(x)
    assert np.array_equal(zero.transform(x), alone.transform(x))
