"""What a choice of filters is shown with: spec ssim-kmeans-pruning, 5."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nervure.features.validity import INDICES
from nervure.prune.ssim import figures
from nervure.prune.ssim.kmeans import Clustering
from nervure.prune.ssim.methods import SSIMKMeans
from nervure.prune.ssim.profiles import PROFILES, Effort
from nervure.prune.ssim.search import LayerSearch, search_layer

WEIGHT = torch.randn(24, 3, 3, 3, generator=torch.Generator().manual_seed(0))
LABELS = np.array([0] * 3 + [1] * 20 + [2])
CLOSENESS = np.linspace(0, 0.9, 24)


@pytest.fixture(scope="module")
def found() -> LayerSearch:
    return search_layer("conv1", WEIGHT, SSIMKMeans(PROFILES["thesis"]), Effort(None, 3, null_shares=8))


def test_curve_has_mean_spread_null_and_corrected(found: LayerSearch) -> None:
    curve = figures.silhouette_curve("conv1", found, "thesis_min", {"A": 9})
    assert curve.x.tolist() == list(range(2, 24))
    assert curve.labels == ("thesis_min", "thesis_min, weights shuffled", "distance")
    table, null = found.table("thesis_min"), found.table("thesis_min", null=True)
    np.testing.assert_array_equal(curve.y[0], table.mean)
    assert curve.spread is not None
    np.testing.assert_array_equal(curve.spread[0], table.spread)
    np.testing.assert_allclose(curve.y[1][null.k - 2], null.mean)
    assert curve.notes["chosen"].startswith("A: 9 (")
    # 24 filters: limits at 10, 14, 20 and 28 64ths of them.
    assert curve.notes["fewer filters an initial centroid from"] == "4, 6, 8, 11"
    assert curve.marks is not None
    assert (curve.marks.tolist(), curve.mark_labels) == ([9, 4, 6, 8, 11], ("A 9",))
    assert f"peaks at K = {table.natural}" in curve.alt
    assert f"shuffled the peak is {null.mean.max():.3f}" in curve.alt


def test_matrix_has_large_clusters_first() -> None:
    matrix = np.arange(24 * 24, dtype=float).reshape(24, 24)
    shown = figures.ordered_matrix("conv1", matrix, LABELS, "SSIM").values
    order = [*range(3, 23), 0, 1, 2, 23]
    np.testing.assert_array_equal(shown, matrix[np.ix_(order, order)])


def test_filters_beside_their_mean() -> None:
    clustering = Clustering(LABELS, CLOSENESS)
    stays = np.isin(np.arange(24), clustering.representatives())
    shown = figures.beside_centroid("conv1", WEIGHT, clustering, stays)
    assert shown.columns == 7
    assert shown.pictures.shape == (21, 1, 9, 3)
    assert shown.captions[:4] == ("mean of 20", "22", "21", "20")
    assert shown.captions[7:11] == ("mean of 3", "2", "1", "0")
    assert shown.captions[11:14] == ("", "", "")
    assert shown.framed is not None
    assert np.flatnonzero(shown.framed).tolist() == [1, 8, 15]
    low, high = WEIGHT.min(), WEIGHT.max()
    mean = (WEIGHT[:3].mean(0).flatten(1).T - low) / (high - low)
    np.testing.assert_allclose(shown.pictures[7, 0] / 255, mean, atol=0.15)


def test_sizes_and_bars(found: LayerSearch) -> None:
    sizes = figures.cluster_sizes("conv1", Clustering(LABELS, CLOSENESS))
    assert (sizes.values[0, 0], sizes.values[0, 2], sizes.values[0, 19], sizes.values.sum()) == (1, 1, 1, 3)
    matrix = SSIMKMeans(PROFILES["thesis"]).prepare(WEIGHT).matrix
    bars = figures.silhouette_bars("conv1", matrix, LABELS, "distance")
    assert bars.values.shape == (1, 24)
    assert sorted(map(int, bars.bars)) == list(range(24))
    table = figures.summary("conv1", found, "thesis_min")
    assert [row[0] for row in table.rows[:3]] == ["thesis_min", "sim_max", "distance"]
    assert [row[0] for row in table.rows[3:]] == ["Dunn", "Calinski-Harabasz", "Davies-Bouldin (least)"]
    assert [row[1] for row in table.rows] == ["used", *[""] * 5]
    assert all(row[5] is not None for row in table.rows)


def test_validity_has_a_line_an_index_and_the_best_number_by_each(found: LayerSearch) -> None:
    curve = figures.validity_curve("conv1", found)
    assert (curve.x.tolist(), curve.y.max(axis=1).tolist()) == (list(range(2, 24)), [1, 1, 1])
    means = {index: found.table(index).mean for index in INDICES}
    by_hand = [means["dunn"].argmax(), means["calinski_harabasz"].argmax(), means["davies_bouldin"].argmin()]
    np.testing.assert_allclose(curve.y[0], means["dunn"] / means["dunn"].max())
    table = figures.summary("conv1", found, "thesis_min")
    assert [row[2] for row in table.rows[3:]] == [2 + int(at) for at in by_hand]
    assert f"Davies-Bouldin (least): {2 + by_hand[2]}" in curve.alt


def test_a_layer_with_nothing_to_search() -> None:
    weight = WEIGHT[:2]
    best = Clustering(np.array([0, 1]), np.ones(2))
    shown = figures.figures("conv1", weight, LayerSearch(2), best, np.eye(2), "distance", "SSIM", np.ones(2, bool))
    assert [one.kind for one in shown] == ["matrix", "images", "bars", "bars"]
