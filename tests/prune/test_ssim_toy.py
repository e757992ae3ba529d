"""K-means on points in the plane, as it is drawn: spec ssim-kmeans-pruning, 5."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from nervure.evidence import Scatter
from nervure.prune.ssim.toy import in_the_plane, method


def test_each_picture_follows_from_the_one_before() -> None:
    begin, assigned, updated, end, bars = in_the_plane(0)
    for one in (begin, assigned, updated, end):
        assert isinstance(one, Scatter)
        assert one.groups is not None
        points, centres = one.points[:24], one.points[24:]
        assert one.groups[24:].tolist() == [3, 3, 3]
        own = one.groups[:24]
        away = np.linalg.norm(points[:, None] - centres, axis=2)
        if one is assigned or one is end:
            np.testing.assert_array_equal(own, away.argmin(axis=1))
        if one is not assigned:
            for number in range(3):
                np.testing.assert_allclose(points[own == number].mean(axis=0), centres[number], atol=1e-6)
        if one is begin:
            assert np.bincount(own).tolist() == [3, 3, 3, 0, 15]
            assert one.labels[4] == "in none yet"
            before = centres
        if one is assigned:
            np.testing.assert_array_equal(centres, before)
    labels = KMeans(3, n_init=10, random_state=0).fit_predict(points)
    assert adjusted_rand_score(labels, own) == 1
    # Squared distances, as the similarity has them.
    square = ((points[:, None].astype(float) - points) ** 2).sum(axis=2)
    np.testing.assert_allclose(
        np.sort(bars.values[0]),  # type: ignore[attr-defined]
        np.sort(silhouette_samples(square, own, metric="precomputed")),
        atol=1e-6,
    )


def test_every_seed_gives_pictures() -> None:
    for seed in range(8):
        assert len(in_the_plane(seed)) == 5


def test_the_method_in_order() -> None:
    assert [row[0] for row in method().rows] == list(range(1, 10))
