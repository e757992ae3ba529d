"""Infinite feature selection against its own definition: a sum over paths of every length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from nervure.errors import InputError
from nervure.features.inf_fs import inf_fs, spearman

FIXTURE = np.array([[1, 2, 9, 4], [2, 1, 7, 4.5], [3, 5, 5, 1], [4, 4, 3, 2], [5, 6, 1, 3]])


def adjacency(x: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    sd = x.std(0)
    weight = alpha * np.maximum.outer(sd, sd) + (1 - alpha) * (1 - np.abs(spearmanr(x).statistic))
    np.fill_diagonal(weight, alpha * sd)
    return weight


@given(st.integers(0, 2**31), st.integers(3, 9), st.floats(0.05, 1))
def test_it_sums_paths_up_to_any_length(seed: int, columns: int, alpha: float) -> None:
    x = np.random.default_rng(seed).normal(size=(25, columns))
    weight = adjacency(x, alpha)
    step = 0.9 / np.abs(np.linalg.eigvals(weight)).max() * weight
    paths, total = np.ones(columns), np.zeros(columns)
    for _ in range(400):
        paths = step @ paths
        total += paths
    assert inf_fs(x, alpha) == pytest.approx(total, rel=1e-9)


def test_the_published_numbers() -> None:
    assert adjacency(FIXTURE)[0] == pytest.approx([0.707107, 1.027362, 1.414214, 0.957107], abs=1e-6)
    assert inf_fs(FIXTURE) == pytest.approx([7.709505, 8.477580, 10.915939, 8.212493], abs=1e-5)


@given(st.integers(0, 2**31))
def test_permuted_columns_and_copies(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(20, 5))
    order = np.random.default_rng(seed + 1).permutation(5)
    assert inf_fs(x[:, order]) == pytest.approx(inf_fs(x)[order])
    before, after = inf_fs(x), inf_fs(np.column_stack([x, x[:, 0]]))
    assert (after[:5] > after[0]).sum() >= (before > before[0]).sum()


def test_few_or_constant_columns() -> None:
    assert inf_fs(np.ones((4, 1))).tolist() == [1]
    for x in (np.ones((4, 3)), np.column_stack([np.ones(4), np.arange(4)]), np.zeros((1, 2))):
        assert np.isfinite(inf_fs(x)).all() and (inf_fs(x) >= 0).all()
    assert spearman(FIXTURE) == pytest.approx(spearmanr(FIXTURE).statistic)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="alpha = 2"):
        inf_fs(FIXTURE, 2)
    with pytest.raises(InputError, match="at most 4096 columns, and these are 4097"):
        inf_fs(np.zeros((2, 4097)))
    with pytest.raises(InputError, match="columns of shape"):
        inf_fs(np.ones(3))


def test_deviations_may_divide_by_one_less() -> None:
    """With alpha 1 the matrix is all deviations, whose common factor the step takes out again."""
    assert inf_fs(FIXTURE, 1, ddof=1) == pytest.approx(inf_fs(FIXTURE, 1))
    assert inf_fs(FIXTURE, ddof=1) == pytest.approx(inf_fs(FIXTURE * np.sqrt(5 / 4)))
    with pytest.raises(InputError, match="ddof = 5 of 5 samples"):
        inf_fs(FIXTURE, ddof=5)
