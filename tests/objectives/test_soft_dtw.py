"""Against every alignment listed, against the table filled cell by cell, and against finite differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from nervure.errors import InputError
from nervure.objectives.soft_dtw import soft_dtw, soft_dtw_divergence


def series(n: int, c: int, t: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, c, t)))


def costs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x[:, :, None] - y[:, None]) ** 2).sum(0)


def by_cells(x: np.ndarray, y: np.ndarray, gamma: float) -> float:
    """The recursion of the paper in two loops; gamma = 0 is dynamic time warping."""
    table = costs(x, y)
    best = np.full((table.shape[0] + 1, table.shape[1] + 1), np.inf)
    best[0, 0] = 0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            before = np.array([best[i, j], best[i, j + 1], best[i + 1, j]])
            least = before.min() if gamma == 0 else -gamma * logsumexp(-before / gamma)
            best[i + 1, j + 1] = table[i, j] + least
    return float(best[-1, -1])


def alignments(t: int, s: int) -> Iterator[list[tuple[int, int]]]:
    """Every way from (0, 0) to (t - 1, s - 1)."""
    if t == s == 1:
        yield [(0, 0)]
        return
    for back in ((1, 0), (0, 1), (1, 1)):
        if t > back[0] and s > back[1]:
            for path in alignments(t - back[0], s - back[1]):
                yield [*path, (t - 1, s - 1)]


@pytest.mark.parametrize(("t", "s"), [(1, 1), (1, 4), (4, 1), (3, 4), (5, 5)])
@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
def test_as_every_alignment_listed(t: int, s: int, gamma: float) -> None:
    x, y = series(2, 2, t), series(2, 2, s, seed=1)
    for pair, found in zip(range(2), soft_dtw(x, y, gamma), strict=True):
        table = costs(x[pair].numpy(), y[pair].numpy())
        totals = np.array([sum(table[cell] for cell in path) for path in alignments(t, s)])
        assert float(found) == pytest.approx(-gamma * logsumexp(-totals / gamma), rel=1e-9)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.0, 1e-3, 0.5, 20.0]),
    st.integers(0, 99),
)
def test_as_the_table_cell_by_cell(n: int, c: int, t: int, s: int, gamma: float, seed: int) -> None:
    x, y = series(n, c, t, seed), series(n, c, s, seed + 1)
    expected = [by_cells(a, b, gamma) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(soft_dtw(x, y, gamma), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
def test_gradients_by_finite_differences(gamma: float) -> None:
    mask = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]
    other = torch.arange(4) < torch.tensor([3, 4, 1])[:, None]
    x, y = series(3, 2, 5).requires_grad_(), series(3, 2, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: soft_dtw(x, y, gamma), (x, y))
    assert torch.autograd.gradcheck(lambda x, y: soft_dtw(x, y, gamma, mask, other), (x, y))
    assert torch.autograd.gradcheck(lambda x, y: soft_dtw_divergence(x, y, gamma, mask, other), (x, y))


def test_the_hard_gradient_follows_the_best_alignment() -> None:
    x = torch.tensor([[[0.0, 5.0, 5.5]]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[[0.0, 0.2, 4.0]]], dtype=torch.float64)
    value = soft_dtw(x, y, gamma=0.0)
    value.backward()
    # 0 meets 0 and 0.2; 5 and 5.5 meet 4
    assert float(value.detach()) == pytest.approx(0.04 + 1 + 2.25)
    torch.testing.assert_close(x.grad, torch.tensor([[[-0.4, 2.0, 3.0]]], dtype=torch.float64))


def test_less_softness_goes_to_dynamic_time_warping_from_below() -> None:
    x, y = series(4, 2, 12), series(4, 2, 9, seed=1)
    hard = torch.tensor([by_cells(a, b, 0.0) for a, b in zip(x.numpy(), y.numpy(), strict=True)], dtype=torch.float64)
    values = torch.stack([soft_dtw(x, y, gamma) for gamma in (10.0, 1.0, 0.1, 1e-2, 1e-6)])
    assert (values.diff(dim=0) >= 0).all() and (values <= hard + 1e-9).all()
    torch.testing.assert_close(values[-1], hard, atol=1e-4, rtol=0)
    torch.testing.assert_close(soft_dtw(x, y, 0.0), hard)


class TestMasks:
    lengths = torch.tensor([6, 3, 1])
    mask = torch.arange(6) < lengths[:, None]

    @pytest.mark.parametrize("padding", [0.0, 1e6, float("nan"), float("inf")])
    def test_padding_is_not_seen(self, padding: float) -> None:
        x, y = series(3, 2, 6), series(3, 2, 6, seed=1)
        padded = [one.masked_fill(~self.mask[:, None], padding).requires_grad_() for one in (x, y)]
        found = soft_dtw(*padded, mask=self.mask)
        cut = [soft_dtw(x[i : i + 1, :, :m], y[i : i + 1, :, :m]) for i, m in enumerate(self.lengths)]
        torch.testing.assert_close(found, torch.cat(cut))
        found.sum().backward()
        for one in padded:
            assert torch.isfinite(one.grad).all()
            assert torch.equal(one.grad.masked_fill(self.mask[:, None], 0), torch.zeros_like(one))

    def test_one_mask_of_two(self) -> None:
        x, y = series(3, 1, 6), series(3, 1, 4, seed=1)
        cut = [soft_dtw(x[i : i + 1, :, :m], y[i : i + 1]) for i, m in enumerate(self.lengths)]
        torch.testing.assert_close(soft_dtw(x, y, mask=self.mask), torch.cat(cut))

    def test_a_series_of_no_step(self) -> None:
        x = series(2, 1, 3).requires_grad_()
        value = soft_dtw(x, series(2, 1, 3, seed=1), mask=torch.tensor([[True] * 3, [False] * 3]))
        value.sum().backward()
        assert float(value[1].detach()) == 0
        assert torch.equal(x.grad[1], torch.zeros(1, 3, dtype=torch.float64))

    def test_refused(self) -> None:
        x = series(2, 1, 3)
        with pytest.raises(InputError, match="a mask with a gap"):
            soft_dtw(x, x, mask=torch.tensor([[True, False, True]] * 2))
        with pytest.raises(InputError, match=r"a mask of \(2, 4\) for series of \(2, 1, 3\)"):
            soft_dtw(x, x, mask=torch.ones(2, 4, dtype=torch.bool))


class TestInvariance:
    @given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
    def test_order_of_the_two_time_reversed_and_offset(self, t: int, s: int, seed: int) -> None:
        x, y = series(2, 2, t, seed), series(2, 2, s, seed + 1)
        value = soft_dtw(x, y)
        torch.testing.assert_close(soft_dtw(y, x), value)
        torch.testing.assert_close(soft_dtw(x.flip(2), y.flip(2)), value)
        torch.testing.assert_close(soft_dtw(x + 1e4, y + 1e4), value, atol=1e-7, rtol=1e-7)
        torch.testing.assert_close(torch.cat([soft_dtw(x[:1], y[:1]), soft_dtw(x[1:], y[1:])]), value)

    @given(st.integers(1, 7), st.sampled_from([0.1, 1.0, 10.0]), st.integers(0, 99))
    def test_the_divergence_is_least_where_both_are_equal(self, t: int, gamma: float, seed: int) -> None:
        x, y = series(3, 2, t, seed).requires_grad_(), series(3, 2, t, seed + 1)
        assert (soft_dtw_divergence(x, y, gamma) >= 0).all()
        same = soft_dtw_divergence(x, x.detach(), gamma)
        (slope,) = torch.autograd.grad(same.sum(), x)
        torch.testing.assert_close(same, torch.zeros(3, dtype=torch.float64), atol=1e-10, rtol=0)
        torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-9, rtol=0)


def test_single_precision_far_from_the_origin() -> None:
    x, y = series(4, 3, 40), series(4, 3, 40, seed=1)
    x, y = (x * 64).round() / 64, (y * 64).round() / 64
    near = soft_dtw(x, y)
    far = soft_dtw((x + 4096).float(), (y + 4096).float())
    torch.testing.assert_close(far.double(), near, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("gamma", [1e-6, 1.0, 1e4])
def test_extremes(gamma: float) -> None:
    x = torch.tensor([[[1e4, -1e4, 1e4, 0.0]], [[0.0, 0.0, 0.0, 0.0]]], requires_grad=True)
    y = torch.tensor([[[-1e4, 1e4]], [[0.0, 0.0]]])
    value = soft_dtw(x, y, gamma)
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(x.grad).all()


def test_half_precision() -> None:
    x, y = series(2, 1, 20).to(torch.bfloat16), series(2, 1, 20, seed=1).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = soft_dtw(x, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), soft_dtw(x.double(), y.double()), rtol=1e-5, atol=1e-5)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="gamma = -1"):
        soft_dtw(series(1, 1, 2), series(1, 1, 2), gamma=-1)
    with pytest.raises(InputError, match=r"series of \(1, 1, 2\) and \(1, 2, 2\); give"):
        soft_dtw(series(1, 1, 2), series(1, 2, 2))
    long = torch.zeros(2, 1, 30_000)
    with pytest.raises(InputError, match=r"2 series of 30000 steps compares 1,800,000,000 pairs.*smaller batches"):
        soft_dtw(long, long)
