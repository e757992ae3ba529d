"""Indices of validity, held against scikit-learn and naive loops (spec ssim-kmeans-pruning, 7.4)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

from nervure.errors import InputError
from nervure.features import validity
from nervure.features.validity import INDICES, calinski_harabasz, davies_bouldin, dunn, indices, inner_products


def drawn(n: int, k: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Samples around a far mean, and k clusters, one of which may have a single sample."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(k), random.integers(0, k, n - k)])
    return torch.from_numpy(5 + random.normal(size=(n, 4, 3))), random.permutation(labels)


def similarities(n: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-0.9, 0.9, (n, n))
    return (values + values.T) / 2


@given(st.integers(4, 30), st.integers(2, 8), st.integers(0, 10**6))
def test_against_scikit_learn(n: int, k: int, seed: int) -> None:
    samples, labels = drawn(n, min(k, n - 1), seed)
    products, flat = inner_products(samples), samples.flatten(1).numpy()
    assert calinski_harabasz(products, labels) == pytest.approx(calinski_harabasz_score(flat, labels), rel=1e-9)
    assert davies_bouldin(products, labels) == pytest.approx(davies_bouldin_score(flat, labels), rel=1e-6)


@given(st.integers(3, 20), st.integers(2, 6), st.integers(0, 10**6))
def test_dunn_by_a_loop_over_pairs(n: int, k: int, seed: int) -> None:
    given_, (_, labels) = similarities(n, seed), drawn(n, min(k, n - 1), seed)
    pairs = list(combinations(range(n), 2))
    between = [1 - given_[i, j] for i, j in pairs if labels[i] != labels[j]]
    within = [1 - given_[i, j] for i, j in pairs if labels[i] == labels[j]]
    before = given_.copy()
    assert dunn(given_, labels) == pytest.approx(min(between) / max(within))
    assert dunn(given_, 9 - 2 * labels) == dunn(given_, labels)
    np.testing.assert_array_equal(given_, before)


def test_by_hand() -> None:
    """Two pairs on a line, at 0 and 2 and at 8 and 10: between 64, within 4, centroids 8 apart, spreads of 1."""
    samples = torch.tensor([[0.0], [2.0], [8.0], [10.0]], dtype=torch.float64)
    distances = (samples - samples.T).abs() / 10
    labels = [3, 3, -1, -1]
    assert dunn(1 - distances, labels) == pytest.approx(0.6 / 0.2)
    assert calinski_harabasz(inner_products(samples), labels) == pytest.approx((64 / 1) / (4 / 2))
    assert davies_bouldin(inner_products(samples), labels) == pytest.approx((1 + 1) / 8)
    # Alone, 10 has no spread: centroids at 10/3 and 10; within 32 + 8/3, between 3 (5/3)^2 + 25.
    labels = [0, 0, 0, 1]
    assert dunn(1 - distances, labels) == pytest.approx(0.2 / 0.8)
    within, between = 2 * 16 / 3 + 24, 3 * (5 / 3) ** 2 + 25
    assert within + between == pytest.approx(68)
    assert calinski_harabasz(inner_products(samples), labels) == pytest.approx(between / (within / 2))
    assert davies_bouldin(inner_products(samples), labels) == pytest.approx((10 / 3 + 4 / 3 + 14 / 3) / 3 / (20 / 3))


def test_together_as_alone() -> None:
    samples, labels = drawn(20, 4, 1)
    given_, products = similarities(20, 1), inner_products(samples)
    expected = {
        "dunn": dunn(given_, labels),
        "calinski_harabasz": calinski_harabasz(products, labels),
        "davies_bouldin": davies_bouldin(products, labels),
    }
    assert indices(given_, products, labels) == expected
    assert tuple(expected) == INDICES


def test_every_sample_a_cluster_says_nothing() -> None:
    samples, _ = drawn(5, 2, 0)
    assert set(indices(similarities(5, 0), inner_products(samples), np.arange(5)).values()) == {0.0}


def test_equal_samples_are_finite() -> None:
    samples = torch.tensor([[0.1, 0.7], [0.1, 0.7], [0.1, 0.7], [0.9, 0.3], [0.9, 0.3]])
    products = inner_products(samples)
    given_ = np.where(np.arange(5)[:, None] // 3 == np.arange(5) // 3, 1.0, 0.0)
    found = indices(given_, products, [0, 0, 0, 1, 1])
    assert found["dunn"] == pytest.approx(1e6)
    assert 1e9 < found["calinski_harabasz"] < np.inf
    assert found["davies_bouldin"] == 0
    # One group cut in two: the halves' centroids are equal, and no distance is left between them.
    cut = indices(given_, products, [0, 0, 1, 2, 2])
    assert (cut["dunn"], cut["davies_bouldin"]) == (0, 0)
    repeated = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).repeat_interleave(5, dim=0)
    assert davies_bouldin(inner_products(repeated), np.arange(15) // 5) == 0  # what rounding leaves is no distance
    alike = indices(np.ones((4, 4)), inner_products(torch.full((4, 3), 0.3)), [0, 0, 1, 1])
    assert set(alike.values()) == {0.0}


def test_products_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = drawn(9, 2, 0)
    flat = samples.flatten(1).numpy()
    monkeypatch.setattr(validity, "PART", 9 * 5)
    found = inner_products(samples.float())
    np.testing.assert_allclose(found, (flat - flat.mean(0)) @ (flat - flat.mean(0)).T, atol=1e-5)


def test_refusals() -> None:
    for index in (dunn, calinski_harabasz, davies_bouldin):
        with pytest.raises(InputError, match="all samples are in one cluster"):
            index(np.eye(3), [2, 2, 2])
        with pytest.raises(InputError, match="do not fit"):
            index(np.eye(3), [0, 1])
