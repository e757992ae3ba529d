"""Behaviours in windows of acceleration: what a dense auto-encoder adds to k-means (spec deepcluster, 11)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.cluster import KMeans

from nervure import cluster, data
from nervure.features.agreement import matched_accuracy
from nervure.train import Recipe


# trains three times for 15 epochs on 2,665 windows
@pytest.mark.slow
def test_an_auto_encoder_finds_more_behaviours_than_k_means_of_vedba() -> None:
    """S14: the mean of three recordings, whose bouts differ enough; measured 0.69 beside 0.55."""
    found = []
    for seed in range(3):
        ds = data.load("movement", n=40_000, generator_seed=seed, noise=1.5, vedba_length=50, validation=0, test=0,
                       standardize="min-max")  # fmt: skip
        x = ds.batch(ds.indices()).x.flatten(1).numpy()
        plain = KMeans(5, n_init=10, random_state=seed).fit_predict(x)
        model = cluster.DCAEKMeans(
            5, network="ts-autoencoder", lr=0.006, batch_size=32, epochs=15, patience=0, random_state=seed, device="cpu"
        )  # fmt: skip
        ready, method = model.prepared(ds)
        recipe = Recipe.of({**method.recipe.to_json(), "optimizer": "sgd", "momentum": 0.9})
        model.adopt(model.trained(dataclasses.replace(method, recipe=recipe), ready))
        assert len(np.unique(model.predict(ds))) == 5
        found.append([matched_accuracy(ds.y, one) for one in (plain, model.predict(ds))])
    plain, deep = np.mean(found, axis=0)
    assert deep > plain + 0.05
