from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.data.warp import resample, source_steps


def test_resample_agrees_with_numpy():
    rng = np.random.default_rng(0)
    x = rng.random((4, 3, 9))
    at = np.sort(rng.random((4, 9)) * 8, axis=1)
    expected = [[np.interp(at[n], np.arange(9), x[n, c]) for c in range(3)] for n in range(4)]
    np.testing.assert_allclose(resample(torch.from_numpy(x), torch.from_numpy(at)), expected, atol=1e-12)


@given(st.integers(1, 20), st.floats(0.1, 1), st.floats(0, 1), st.floats(-0.49, 0.49), st.floats(-0.49, 0.49))
def test_time_runs_forward_and_stays_inside(length, window, place, first, second):
    number = [torch.tensor([value], dtype=torch.float64) for value in (window, place)]
    bends = torch.tensor([[first, second]], dtype=torch.float64)
    at = source_steps(torch.tensor([length]), 20, *number, bends)[0]
    own = at[:length]
    assert (own.diff() > 0).all()
    assert own.min() >= 0
    assert own.max() <= length - 1
    assert at[length:].tolist() == list(range(length, 20))
    if length > 1:
        assert abs(float(own[-1] - own[0]) - window * (length - 1)) < 1e-9
