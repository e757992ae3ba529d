"""The grid: finest bins that hold the values, exact merging."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure.observe.grid import FINEST, Grid, canonical, power, rebin

floats = st.floats(-(2.0**100), 2.0**100, width=32)


def f64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(floats, min_size=1, max_size=20), st.sampled_from([2, 3, 64, 100, 1024]))
def test_values_fit_and_no_finer_grid_would_hold_them(values: list[float], bins: int) -> None:
    low, high = min(values), max(values)
    exponent, first = (int(part) for part in canonical(f64(low), f64(high), bins))
    width = 2.0**exponent
    assert np.floor(low / width) >= first
    assert np.floor(high / width) - first < bins
    reach = max(abs(low), abs(high))
    floor = max(FINEST, int(np.floor(np.log2(reach))) - 20) if reach else FINEST
    if exponent > floor:
        assert np.floor(2 * high / width) - np.floor(2 * low / width) >= bins
        assert width <= 2 * (high - low) / (bins - 1)


@given(st.integers(0, 10**6), st.sampled_from([2, 5, 64]), st.integers(1, 4))
def test_counts_equal_a_numpy_histogram_on_the_same_edges(seed: int, bins: int, pieces: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(6, 2, 5)) * 10.0 ** rng.integers(-8, 8) + rng.normal()).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = 0.0
    grid = Grid.empty(2, bins)
    for piece in np.array_split(values, pieces):
        grid.add(torch.from_numpy(piece))
    for unit in range(2):
        width = 2.0 ** int(grid.exponent[unit])
        edges = (int(grid.first[unit]) + np.arange(bins + 1)) * width
        # numpy closes the last bin; ours is open there, and nothing lies on that edge.
        expected, _ = np.histogram(values[:, unit].astype(np.float64), edges)
        assert grid.counts[unit].tolist() == expected.tolist()


@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_order_and_grouping_do_not_matter(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    parts = [torch.from_numpy(rng.normal(size=(3, 2, 4)) * 4.0**k) for k in range(4)]
    whole = Grid.empty(2, 16)
    whole.add(torch.cat(parts))
    left, right = Grid.empty(2, 16), Grid.empty(2, 16)
    for place, k in enumerate(order):
        (left if place % 2 else right).add(parts[k])
    left.merge(right)
    assert torch.equal(left.counts, whole.counts)
    assert torch.equal(left.exponent, whole.exponent)
    assert torch.equal(left.first, whole.first)


@given(st.integers(0, 10**6), st.sampled_from([(64, 8), (100, 64), (1024, 64)]))
def test_coarse_is_what_would_have_been_counted(seed: int, bins: tuple[int, int]) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(7, 3, 4)))
    fine, coarse = Grid.empty(3, bins[0]), Grid.empty(3, bins[1])
    fine.add(values)
    coarse.add(values)
    assert torch.equal(fine.coarse(bins[1]).counts, coarse.counts)


def test_constant_and_zero_units_have_one_bin() -> None:
    grid = Grid.empty(3, 64)
    grid.add(torch.tensor([0.0, 5.0, -3e38]).expand(4, 3)[..., None])
    assert (grid.counts > 0).sum(1).tolist() == [1, 1, 1]
    assert grid.counts.sum(1).tolist() == [4, 4, 4]


def test_values_that_vanish_beside_the_largest_stay_inside_their_unit() -> None:
    grid = Grid.empty(3, 64)
    # -1e-44 / 64 is no float32 but -0, which begins a bin above the one that -1e-44 lies in.
    grid.add(torch.tensor([-1e-44, -4090.0, -3.0]).view(3, 1, 1).expand(3, 3, 1))
    assert grid.counts.sum(1).tolist() == [3, 3, 3]
    grid.add(torch.tensor([-4090.0, -1e-44, -4090.0]).view(1, 3, 1))
    assert grid.counts.sum(1).tolist() == [4, 4, 4]
    assert grid.counts[1].nonzero().flatten().tolist() == [0, 63]


def test_merge_with_an_empty_grid_changes_nothing() -> None:
    grid = Grid.empty(1, 8)
    grid.add(torch.arange(5.0).view(1, 1, 5))
    before = grid.counts.clone()
    grid.merge(Grid.empty(1, 8))
    assert torch.equal(grid.counts, before)
    empty = Grid.empty(1, 8)
    empty.merge(grid)
    assert torch.equal(empty.counts, before)


@pytest.mark.parametrize("exponent", [-1022, -100, 0, 127, 1023])
def test_powers_are_exact(exponent: int) -> None:
    assert float(power(torch.tensor([exponent]))[0]) == 2.0**exponent


@settings(max_examples=20)
@given(st.integers(0, 200))
def test_rebinning_keeps_the_number_of_values(shift: int) -> None:
    counts = torch.arange(6)[None]
    zero = torch.tensor([0])
    moved = rebin(counts, zero, torch.tensor([-3]), torch.tensor([shift]), torch.tensor([-3 >> min(shift, 62)]), 6)
    assert int(moved.sum()) == 15
