"""Silhouettes, held against scikit-learn and the worked example (spec ssim-kmeans-pruning, 2.4 and 8)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples, silhouette_score

from nervure.errors import InputError
from nervure.features.silhouette import KINDS, Kind, score, scores, silhouettes


def similarities(n: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-0.95, 0.95, (n, n))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    return values


@given(st.integers(4, 30), st.integers(2, 8), st.integers(0, 10**6))
def test_distance_is_the_ordinary_silhouette(n: int, k: int, seed: int) -> None:
    given_, labels = similarities(n, seed), np.random.default_rng(seed).integers(0, min(k, n - 1), n)
    labels[:2] = 0, 1
    found = silhouettes(given_, labels)
    np.testing.assert_allclose(found, silhouette_samples(1 - given_, labels, metric="precomputed"), atol=1e-8)
    expected = silhouette_score(1 - given_, labels, metric="precomputed")
    assert score(given_, labels) == pytest.approx(expected, abs=1e-8)


def test_the_worked_example() -> None:
    """A pair of like filters, whose mean shifted similarities to three other clusters are 0.1, 0.5 and 0.3."""
    given_ = np.eye(8)
    given_[0, 1] = given_[1, 0] = 1.0
    for cluster, shifted in enumerate((0.1, 0.5, 0.3)):
        others = slice(2 + 2 * cluster, 4 + 2 * cluster)
        given_[0, others] = given_[others, 0] = shifted - 1
    labels = np.repeat([0, 1, 2, 3], 2)
    assert silhouettes(given_, labels, "thesis_min")[0] == pytest.approx(0.95)
    assert silhouettes(given_, labels, "sim_max")[0] == pytest.approx(0.75)


@given(st.integers(4, 20), st.integers(0, 10**6), st.sampled_from(KINDS))
def test_by_a_loop_in_bounds_and_blind_to_names(n: int, seed: int, kind: Kind) -> None:
    given_, labels = similarities(n, seed), np.random.default_rng(seed).integers(0, 4, n)
    labels[:2] = 0, 1
    found = silhouettes(given_, labels, kind)
    assert (np.abs(found) < 1).all()
    np.testing.assert_allclose(found, [by_loop(given_, labels, i, kind) for i in range(n)], atol=1e-12)
    np.testing.assert_allclose(found, silhouettes(given_, (7 - labels) * 3, kind), atol=1e-12)
    assert scores(given_, labels)[kind] == pytest.approx(found.mean())


def by_loop(given_: np.ndarray, labels: np.ndarray, i: int, kind: Kind) -> float:
    own = [given_[i, j] for j in range(len(labels)) if labels[j] == labels[i] and j != i]
    if not own:
        return 0.0
    others = [given_[i, labels == other].mean() for other in set(labels) if other != labels[i]]
    if kind == "distance":
        a, b = 1 - np.mean(own), 1 - max(others)
        return float((b - a) / max(a, b))
    a, b = 1 + np.mean(own), 1 + (min(others) if kind == "thesis_min" else max(others))
    return float((a - b) / max(a, b))


@pytest.mark.parametrize("kind", KINDS)
def test_alone_in_a_cluster_is_zero(kind: Kind) -> None:
    assert (silhouettes(similarities(6, 0), np.arange(6), kind) == 0).all()
    assert silhouettes(similarities(6, 0), [0, 0, 0, 0, 0, 1], kind)[5] == 0


def test_refusals() -> None:
    with pytest.raises(InputError, match="all samples are in one cluster"):
        score(np.eye(3), [0, 0, 0])
    with pytest.raises(InputError, match="do not fit"):
        score(np.eye(3), [0, 1])
    with pytest.raises(InputError, match="give one of thesis_min"):
        silhouettes(np.eye(3), [0, 0, 1], "mean")  # type: ignore[arg-type]
