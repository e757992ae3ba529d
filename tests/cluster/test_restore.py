"""Samples that are changed at random and reconstructed to what they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nervure import cluster
from nervure.cluster.method import begin
from nervure.cluster.objective import Clustering
from nervure.data.dataset import Batch
from nervure.errors import InputError

CHANGES = {"rotate": 20.0, "shift": 0.2}
SMALL = {"epochs": 2, "warmup": 1, "network_options": {"units": [4, 8]}, "latent": 4, "random_state": 0}


def pictures(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).random((count, 12, 12)).astype(np.float32)


def test_the_changed_sample_is_read_and_the_sample_itself_is_the_target() -> None:
    model = cluster.DCAEKMeans(3, restore=CHANGES, **SMALL)
    ds, method = model.prepared(cluster.samples.to_dataset(model, pictures(), None))
    net = begin(method, 3, ds).eval()
    x, changed = torch.rand(2, 5, 1, 12, 12)
    batch = Batch(x, None, torch.arange(5), copy=changed)
    _, logs = Clustering(restore=True)(net, batch)
    wanted = (net.decode(net.encode(changed)) - x).square().flatten(1).sum(1).mean()
    assert float(logs["reconstruction"].detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)
    assert method.recipe.copies == CHANGES
    assert method.recipe.objective_options["restore"] is True


def test_no_change_is_the_plain_method() -> None:
    plain = cluster.DCAEKMeans(3, restore={}, **SMALL).fit(pictures())
    still = cluster.DCAEKMeans(3, restore={"rotate": 0.0}, **SMALL).fit(pictures())
    assert np.array_equal(plain.transform(pictures()), still.transform(pictures()))


def test_latents_forget_the_changes() -> None:
    """Latents of a shape and of the same shape moved lie closer than without, by the spread of all latents."""
    ds = cluster.samples.to_dataset(cluster.DCAEKMeans(3), shapes(), None)
    away = {}
    for name, changes in (("plain", {}), ("restored", {"shift": 0.25})):
        options = {**SMALL, "epochs": 240, "warmup": 240, "batch_size": 30, "lr": 3e-3}
        model = cluster.DCAEKMeans(3, restore=changes, **options).fit(ds)
        latents, moved = model.transform(shapes()), model.transform(np.roll(shapes(), 2, axis=2))
        away[name] = float(np.linalg.norm(moved - latents, axis=1).mean() / latents.std(axis=0).sum())
    assert away["restored"] < 0.7 * away["plain"]


def shapes() -> np.ndarray:
    """A bar, a square and a cross, each with some noise."""
    x = np.zeros((90, 12, 12), np.float32)
    x[0::3, 5:7, 3:9] = x[1::3, 4:8, 4:8] = x[2::3, 4:8, 5:7] = 1
    return x + np.random.default_rng(1).normal(0, 0.05, x.shape).astype(np.float32)


def test_what_cannot_be_restored_is_refused() -> None:
    with pytest.raises(InputError, match="no auto-encoder"):
        cluster.NeuralMixture(3, restore=CHANGES).fit(pictures())
    with pytest.raises(InputError, match="give one of them"):
        cluster.DCAEKMeans(3, restore=CHANGES, augment=CHANGES, **SMALL).fit(pictures())


def test_large_pictures_are_restored_unless_they_are_augmented() -> None:
    large = np.zeros((60, 16, 16), np.float32)
    large[:, :12, :12] = pictures()
    for given, x, restores in (({}, large, True), ({"augment": CHANGES}, large, False), ({}, pictures(), False)):
        model = cluster.DCAEGMM(3, **given)
        _, method = model.prepared(cluster.samples.to_dataset(model, x, None))
        assert bool(method.recipe.copies) is restores
