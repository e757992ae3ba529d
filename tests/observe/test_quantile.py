"""Quantiles: exact equal numpy's, streaming ones within the bound."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import InputError
from nervure.observe import ExactQuantile, Quantile

LEVELS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.995, 1.0)


def draw(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_t(2, size=(n, 3, 4)) * 10.0 ** rng.integers(-6, 6)
    values[:, 1] = np.maximum(values[:, 1], 0)
    values[:, 2] += rng.normal() * 100
    return values.astype(np.float32)


def expected(values: np.ndarray) -> np.ndarray:
    flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1).astype(np.float64)
    return np.quantile(flat, LEVELS, axis=1, method="lower").T


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([16, 64, 1024]), st.integers(1, 4))
def test_streaming_is_within_its_bound(seed: int, n: int, bins: int, pieces: int) -> None:
    values = draw(seed, n)
    quantile = Quantile(LEVELS, bins=bins)
    for part in np.array_split(values, pieces):
        quantile.update(torch.from_numpy(part), None)
    found = quantile.result()
    exact = expected(values)
    assert (np.abs(found.values.numpy() - exact) <= found.bound.numpy()[:, None]).all()
    spread = exact[:, -1] - exact[:, 0]
    floor = np.maximum(2.0**-20 * np.abs(values).max((0, 2)), 2.0**-100)
    assert (found.bound.numpy() <= np.maximum(2 * spread / (bins - 1), floor)).all()
    assert (np.diff(found.values.numpy(), axis=1) >= 0).all()


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 4))
def test_exact_equals_numpy(seed: int, n: int, pieces: int) -> None:
    values = draw(seed, n)
    quantile = ExactQuantile(LEVELS)
    for part in np.array_split(values, pieces):
        quantile.update(torch.from_numpy(part), None)
    assert quantile.result().values.tolist() == expected(values).tolist()


def test_a_unit_that_is_mostly_zero_has_exactly_zero() -> None:
    values = torch.zeros(10, 1)
    values[:2, 0] = torch.tensor([0.001, 7.0])
    quantile = Quantile((0.5, 0.75, 1.0), bins=64)
    quantile.update(values, None)
    assert quantile.result().values[0, :2].tolist() == [0.0, 0.0]


def test_share_above_the_threshold_is_what_was_asked() -> None:
    values = np.random.default_rng(0).normal(size=(400, 2, 16)).astype(np.float32)
    quantile = ExactQuantile(0.8)
    quantile.update(torch.from_numpy(values), None)
    above = (values > quantile.result().values.numpy()[None]).mean((0, 2))
    np.testing.assert_allclose(above, 0.2, atol=1 / 400)


def test_exact_stops_at_its_limit() -> None:
    quantile = ExactQuantile(0.5, limit=10)
    quantile.update(torch.zeros(5, 2), None)
    with pytest.raises(InputError, match="more than 10 values"):
        quantile.update(torch.zeros(1, 2), None)


@pytest.mark.parametrize("levels", [-0.1, 1.5, float("nan"), ()])
def test_impossible_levels(levels: float | tuple[float, ...]) -> None:
    for kind in (Quantile, ExactQuantile):
        with pytest.raises(InputError, match="quantile levels"):
            kind(levels)
