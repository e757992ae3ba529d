from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from nervure import cluster, data
from nervure.cluster import lloyd
from nervure.errors import InputError

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]


def test_labels_are_refused(blobs: Blobs) -> None:
    with pytest.raises(InputError, match="deep-cluster trains on labels of its own"):
        cluster.DeepCluster(3).fit(blobs[0], labels=blobs[1])


def test_clusters_are_k_means_of_the_final_features(blobs: Blobs) -> None:
    model = cluster.DeepCluster(3, epochs=3, random_state=0, device="cpu").fit(blobs[0])
    assert model.net_.head.whitening.shape[1] == 6, "twice as many components as clusters"
    away = model.transform(blobs[0]).astype(np.float64)
    away -= away.mean(axis=0)
    _, sizes, axes = np.linalg.svd(away, full_matrices=False)
    white = away @ axes[:6].T / sizes[:6]
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    expected = KMeans(3, n_init=10, random_state=0).fit_predict(white)
    assert len(set(zip(expected.tolist(), model.labels_.tolist(), strict=True))) == 3


def test_the_final_clusters_are_the_best_of_ten_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, int]] = []
    full = lloyd.full
    monkeypatch.setattr(
        lloyd, "full", lambda some, k, seed, starts=10: (runs.append((seed, starts)), full(some, k, seed, starts))[1]
    )
    x = np.random.default_rng(0).normal(size=(60, 4))
    cluster.DeepCluster(3, epochs=2, random_state=5, patience=0, device="cpu").fit(x)
    assert runs == [(5, 3), (6, 3), (7, 3), (5, 10)]


def test_samples_are_changed_for_the_classifier_unless_told_otherwise(blobs: Blobs) -> None:
    ds = data.from_arrays(blobs[0], splits={"train": np.arange(150)}, validation=0, test=0)
    assert cluster.DeepCluster(3).prepared(ds)[1].recipe.augment == {"jitter": 0.1}
    assert cluster.DeepCluster(3, augment={}).prepared(ds)[1].recipe.augment is None


def test_numbers_stay_from_epoch_to_epoch(blobs: Blobs) -> None:
    model = cluster.DeepCluster(3, epochs=8, random_state=0, patience=0, device="cpu").fit(blobs[0])
    assert all(row["changed"] < 0.1 for row in model.run_.history[3:])


def test_more_pseudo_labels_than_clusters(blobs: Blobs) -> None:
    model = cluster.DeepCluster(3, groups=9, epochs=3, random_state=0, device="cpu").fit(blobs[0])
    assert model.net_.head.classifier.out_features == 9
    assert model.predict_proba(blobs[0]).shape == (150, 3)
