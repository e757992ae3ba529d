"""Seeded figures on scikit-learn's digits, where k-means on pixels has an accuracy of 0.79 and an NMI of 0.74."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch.nn import functional

from nervure import cluster, data
from nervure.features.agreement import matched_accuracy, normalised_mutual_information

# the accuracy measured with this seed, less 0.08 for other machines and builds of torch
FLOORS = {
    "aec": 0.63, "dcn": 0.62, "dec": 0.63, "idec": 0.64, "vade": 0.70, "iic": 0.68, "deep-cluster": 0.84,
    # what the specs ask, which is less than 0.08 below
    "dcae-kmeans": 0.70, "neural-mixture": 0.85,
}  # fmt: skip

DENSE = {"network": "autoencoder", "network_options": {"widths": [256, 64]}, "device": "cpu"}


# trains for 30 epochs on 1,797 samples
@pytest.mark.slow
@pytest.mark.parametrize("name", list(FLOORS))
def test_accuracy_of_the_quick_profile(name: str) -> None:
    ds = data.load("digits")
    model = cluster.clusterers.get(name)(10, profile="quick", random_state=0, device="cpu")
    model.fit(ds.x.reshape(-1, 8, 8))
    assert model.run_.history[-1]["clusters"] == 10
    assert model.run_.history[-1]["latent_spread"] > 1e-3
    assert matched_accuracy(ds.y, model.labels_) > FLOORS[name]


# as above, on images of 16 pixels
@pytest.mark.slow
def test_the_mixture_of_latents_finds_more_than_k_means_of_the_pixels() -> None:
    """S4 robust (spec deepcluster, 11); this seed has an NMI of 0.85."""
    ds = data.load("digits")
    small = torch.from_numpy(ds.x.reshape(-1, 1, 8, 8).astype(np.float32))
    x = functional.interpolate(small, scale_factor=2, mode="bilinear").numpy()
    model = cluster.DCAEGMM(10, epochs=30, patience=0, restore={}, random_state=0, device="cpu").fit(x)
    assert normalised_mutual_information(ds.y, model.labels_) > 0.78


def test_the_published_recipe_collapses_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    x = data.load("digits").x.reshape(-1, 8, 8)
    with caplog.at_level(logging.WARNING, "nervure"):
        model = cluster.DCAEKMeans(10, profile="paper", epochs=10, random_state=0, **DENSE).fit(x)
    assert model.run_.history[-1]["clusters"] < 10
    assert "clusters without a member" in caplog.text


# trains for 60 epochs on 1,397 samples
@pytest.mark.slow
def test_labels_shape_latents_that_k_means_groups() -> None:
    """ACC_refit of samples held out (S9; spec deepcluster, 11); this seed has 0.95."""
    ds = data.load("digits")
    x, seen = ds.x.reshape(-1, 8, 8), np.arange(len(ds)) < 1397
    model = cluster.DCAEKMeans(10, epochs=60, patience=0, random_state=0, **DENSE).fit(x[seen], labels=ds.y[seen])
    refit = KMeans(10, n_init=10, random_state=0).fit(model.transform(x[seen]))
    assert matched_accuracy(ds.y[~seen], refit.predict(model.transform(x[~seen]))) > 0.88


def of_two_groups(seed: int, output: str, activity: tuple[float, ...]) -> float:
    """The accuracy of samples held out, where labels tell the first five digits from the others and no more (S11)."""
    ds = data.load("digits")
    x, seen = ds.x.reshape(-1, 8, 8), np.arange(len(ds)) < 1397
    options = {**DENSE["network_options"], "output": output}
    model = cluster.DCAEKMeans(
        10, epochs=20, patience=0, activity=activity, parents=[0] * 5 + [1] * 5, random_state=seed,
        **{**DENSE, "network_options": options},
    ).fit(x[seen], labels=ds.y[seen])  # fmt: skip
    return matched_accuracy(ds.y[~seen], model.predict(x[~seen]))


# nine trainings of 20 epochs on 1,397 samples
@pytest.mark.slow
def test_what_regularised_activity_finds_of_digits_is_what_a_sigmoid_lost() -> None:
    """S11 (spec deepcluster, 11): 20 points more, in the mean of three seeds; without a sigmoid nothing is lost."""
    plain, regularised = (0.0, 0.0, 0.0), (0.8, 0.8, 3e-4)
    alone = np.mean([of_two_groups(seed, "sigmoid", plain) for seed in range(3)])
    assert np.mean([of_two_groups(seed, "sigmoid", regularised) for seed in range(3)]) > alone + 0.2
    assert np.mean([of_two_groups(seed, "linear", plain) for seed in range(3)]) > alone + 0.2
