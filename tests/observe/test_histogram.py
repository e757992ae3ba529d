"""Histograms against numpy and scipy."""

import numpy as np
import pytest
import scipy.stats
import torch

from nervure.errors import InputError
from nervure.observe import FixedHistogram, Histogram

VALUES = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)


def filled(histogram: Histogram | FixedHistogram) -> Histogram | FixedHistogram:
    for part in np.array_split(VALUES, 5):
        histogram.update(torch.from_numpy(part), None)
    return histogram


def test_adaptive_counts_equal_numpy_on_its_edges() -> None:
    found = filled(Histogram()).result()
    for unit in range(3):
        expected, _ = np.histogram(VALUES[:, unit].astype(np.float64), found.edges[unit].numpy())
        assert found.counts[unit].tolist() == expected.tolist()
    assert bool(((found.counts > 0).sum(1) >= 16).all())


def test_fixed_counts_equal_numpy_and_the_rest_is_counted_apart() -> None:
    found = filled(FixedHistogram((-1.0, 1.0), bins=8)).result()
    for unit in range(3):
        wide = VALUES[:, unit].astype(np.float64)
        expected, edges = np.histogram(wide, 8, (-1, 1))
        assert found.counts[unit].tolist() == expected.tolist()
        np.testing.assert_allclose(found.edges[unit], edges)
        assert (int(found.below[unit]), int(found.above[unit])) == ((wide < -1).sum(), (wide > 1).sum())


def test_entropy_equals_scipy() -> None:
    found = filled(Histogram()).result()
    expected = scipy.stats.entropy(found.counts.numpy(), axis=1)
    np.testing.assert_allclose(found.entropy, expected, rtol=1e-12)


@pytest.mark.parametrize("bins", [1, 0, 65537])
def test_impossible_bins(bins: int) -> None:
    with pytest.raises(InputError, match=f"bins = {bins}"):
        Histogram(bins)


@pytest.mark.parametrize("span", [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_impossible_range(span: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="range"):
        FixedHistogram(span)


def test_fixed_histogram_sees_nan() -> None:
    histogram = FixedHistogram((0.0, 1.0))
    histogram.update(torch.tensor([[float("nan")]]), None)
    assert not histogram.finite()
