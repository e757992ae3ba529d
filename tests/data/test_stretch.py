"""Min-max of each sample against a numpy loop: spec deepcluster, Eq 3.14."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.data.stretch import stretch


def by_loop(x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    found = np.zeros_like(x)
    for number, sample in enumerate(x):
        seen = np.ones(sample.shape, bool) if mask is None else np.broadcast_to(mask[number], sample.shape)
        if not seen.any():
            continue
        low, high = sample[seen].min(), sample[seen].max()
        if high > low:
            found[number][seen] = (sample[seen] - low) / (high - low)
    return found


@pytest.mark.parametrize("rest", [(5,), (3, 4), (2, 3, 4)])
@given(seed=st.integers(0, 1000), n=st.integers(1, 5))
def test_against_a_loop(rest: tuple[int, ...], seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n, *rest)).astype(np.float64) * rng.choice([1e-3, 1.0, 1e5])
    x[0] = 7.5
    mask = rng.random((n, rest[-1])) < 0.6 if len(rest) == 2 else None
    found = stretch(torch.from_numpy(x), None if mask is None else torch.from_numpy(mask))
    np.testing.assert_allclose(found, by_loop(x, mask), atol=1e-12)
    assert (found[0] == 0).all()


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-50, 50))
def test_blind_to_brightness_and_contrast(seed: int, gain: float, offset: float) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).random((3, 2, 4, 4)))
    found = stretch(x)
    torch.testing.assert_close(stretch(gain * x + offset), found, atol=1e-8, rtol=0)
    torch.testing.assert_close(stretch(found), found)
    assert (found.amin((1, 2, 3)) == 0).all()
    assert (found.amax((1, 2, 3)) == 1).all()


def test_a_series_without_values_is_zeros() -> None:
    assert (stretch(torch.ones(2, 1, 3), torch.zeros(2, 3, dtype=torch.bool)) == 0).all()
