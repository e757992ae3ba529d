"""The compiled reading equals the plain one: counts exactly, sums to 1e-12."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from nervure.observe import kernels, plain
from nervure.observe.grid import Grid

# Shapes: fewer and more positions than a block, one position, one unit, one sample.
SHAPES = [(5, 7, 9), (3, 2, 5000), (40, 6, 1), (11, 1, 64), (1, 3, 16)]


def data(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * 2.0 ** rng.integers(-4, 9, size=(shape[0], shape[1], 1)) + 3
    values[rng.random(shape) < 0.25] = 0
    return torch.from_numpy(values).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bins", [64, 1000])
def test_equals_plain(shape: tuple[int, ...], dtype: torch.dtype, bins: int) -> None:
    grids = [Grid.empty(shape[1], bins), Grid.empty(shape[1], bins)]
    for seed in range(3):
        values = data(shape, dtype, seed)
        fast, fast_means = kernels.summarise(values, grids[0])
        slow, slow_means = plain.summarise(values, grids[1])
        assert torch.equal(fast.zeros, slow.zeros)
        assert torch.equal(fast.nonpositive, slow.nonpositive)
        scale = float(slow.absolute.max())
        torch.testing.assert_close(fast.total, slow.total, rtol=1e-12, atol=1e-12 * scale)
        torch.testing.assert_close(fast.absolute, slow.absolute, rtol=1e-12, atol=0)
        torch.testing.assert_close(fast.squares, slow.squares, rtol=1e-12, atol=1e-12 * scale)
        assert torch.equal(fast_means, slow_means)
    for name in ("low", "high", "exponent", "first", "counts"):
        assert torch.equal(getattr(grids[0], name), getattr(grids[1], name)), name


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nonfinite_values_are_seen_and_never_binned(bad: float) -> None:
    values = data((4, 3, kernels.BLOCK), torch.float32)  # so that each map is a block
    values[2, 1, 5] = bad
    grid = Grid.empty(3, 64)
    totals, _ = kernels.summarise(values, grid)
    assert totals.squares.isfinite().tolist() == [True, False, True]
    assert (grid.counts.sum(1) / kernels.BLOCK).tolist() == [4, 3, 4]
    assert bool(grid.low.isfinite().all())
    assert bool(grid.high.isfinite().all())


def test_values_that_vanish_beside_the_largest_stay_inside_their_unit() -> None:
    values = torch.tensor([[-1e-44, -4090.0, -3.0], [-4090.0, -1e-44, -4090.0]]).unsqueeze(2)
    # Two grids in one block of memory: what is written beyond the first shows in the second.
    memory = torch.zeros(6, 64, dtype=torch.int64)
    grids = [Grid.empty(3, 64), Grid.empty(3, 64)]
    grids[0].counts = memory[:3]
    for one in values.split(1):
        kernels.summarise(one, grids[0])
        plain.summarise(one, grids[1])
    assert memory.sum(1).tolist() == [2, 2, 2, 0, 0, 0]
    assert torch.equal(grids[0].counts, grids[1].counts)


def test_without_a_grid() -> None:
    totals, _ = kernels.summarise(torch.tensor([[[1.0, -2.0]]]))
    assert (float(totals.low), float(totals.high)) == (-2.0, 1.0)


def test_thread_count_is_put_back() -> None:
    import numba

    before = numba.get_num_threads()
    kernels.summarise(torch.ones(2, 2, 2))
    assert numba.get_num_threads() == before


def test_a_fork_falls_back_to_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.usable(torch.ones(1))
    monkeypatch.setattr(kernels, "_HOME", os.getpid() + 1)
    assert not kernels.usable(torch.ones(1))


def test_numba_is_not_imported_before_it_is_used() -> None:
    code = "import sys, nervure.observe as o; o.Moments(); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
