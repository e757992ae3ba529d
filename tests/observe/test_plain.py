"""One reading in plain torch, against numpy."""

import numpy as np
import pytest
import torch

from nervure.observe import plain
from nervure.observe.grid import Grid


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cached", [1, 50, 1 << 18])
def test_totals_and_means_equal_numpy(dtype: type, cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "CACHED", cached)
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(9, 4, 6)) * 3 + 100).astype(dtype)
    values[rng.random(values.shape) < 0.3] *= 0
    values[0, 0, 0] = -1
    totals, means = plain.summarise(torch.from_numpy(values))
    wide = values.astype(np.float64)
    np.testing.assert_allclose(totals.total, wide.sum((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(totals.squares, wide.var((0, 2)) * 54, rtol=1e-12)
    np.testing.assert_allclose(totals.absolute, np.abs(wide).sum((0, 2)), rtol=1e-12)
    assert totals.low.tolist() == wide.min((0, 2)).tolist()
    assert totals.high.tolist() == wide.max((0, 2)).tolist()
    assert totals.zeros.tolist() == (wide == 0).sum((0, 2)).tolist()
    assert totals.nonpositive.tolist() == (wide <= 0).sum((0, 2)).tolist()
    np.testing.assert_allclose(means, wide.mean(2), rtol=1e-6)


def test_variance_survives_a_large_mean() -> None:
    values = np.random.default_rng(1).normal(size=(64, 2, 8)) + 1e8
    totals, _ = plain.summarise(torch.from_numpy(values))
    np.testing.assert_allclose(totals.squares / 512, values.var((0, 2)), rtol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_values_show_in_the_squares_and_leave_the_grid_alone(bad: float) -> None:
    values = torch.ones(2, 2, 3)
    values[1, 1, 1] = bad
    grid = Grid.empty(2, 8)
    totals, _ = plain.summarise(values, grid)
    assert totals.squares.isfinite().tolist() == [True, False]
    assert int(grid.counts.sum()) == 0
