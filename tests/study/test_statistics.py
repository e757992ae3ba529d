from __future__ import annotations

import itertools
import math
import statistics as standard

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from nervure.errors import InputError
from nervure.study.statistics import paired, paired_t, summary, wilcoxon

VALUES = st.lists(st.floats(-100, 100, allow_nan=False).map(lambda one: round(one, 3)), min_size=2, max_size=20)


@given(VALUES)
def test_summary_agrees_with_the_standard_library(values: list[float]) -> None:
    found = summary(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(standard.fmean(values), abs=1e-9)
    assert found.sd == pytest.approx(standard.stdev(values), abs=1e-9)


def test_t_agrees_with_its_definition_and_the_density_integrated() -> None:
    a, b = [98.7, 98.9, 98.4, 98.8, 98.6], [98.1, 98.8, 98.5, 98.2, 98.0]
    t, p = paired_t(a, b)
    difference = [one - other for one, other in zip(a, b, strict=True)]
    expected = standard.fmean(difference) / (standard.stdev(difference) / math.sqrt(5))
    factor = math.gamma(2.5) / (math.sqrt(4 * math.pi) * math.gamma(2.0))
    tail, _ = integrate.quad(lambda x: factor * (1 + x * x / 4) ** -2.5, expected, math.inf)
    assert t == pytest.approx(expected, rel=1e-12)
    assert p == pytest.approx(2 * tail, rel=1e-8)


@given(VALUES.filter(lambda one: len(one) > 2), st.integers(0, 5))
def test_t_agrees_with_scipy_and_turns_with_its_arguments(values: list[float], seed: int) -> None:
    other = np.random.default_rng(seed).normal(size=len(values)).tolist()
    t, p = paired_t(values, other)
    expected = stats.ttest_rel(values, other)
    assert t == pytest.approx(expected.statistic, rel=1e-6, abs=1e-9)
    assert p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert paired_t(other, values)[0] == pytest.approx(-t)  # type: ignore[operator]


def test_t_without_spread() -> None:
    assert paired_t([1.0], [0.0]) == (None, None)
    assert paired_t([0.3, 0.4], [0.2, 0.3]) == (math.inf, 0.0)
    assert paired_t([0.2, 0.3], [0.3, 0.4]) == (-math.inf, 0.0)
    assert paired_t([0.2, 0.3], [0.2, 0.3]) == (0.0, 1.0)


@pytest.mark.parametrize("difference", [[3.0, 1.0, 2.0], [-1.0, 2.0, 3.0, 4.0, -5.0], [0.4, -0.1, 0.2, 0.3, 0.6, -0.5]])
def test_wilcoxon_agrees_with_all_signs_counted(difference: list[float]) -> None:
    ranks = [sorted(map(abs, difference)).index(abs(one)) + 1 for one in difference]

    def smaller(signs: tuple[float, ...]) -> float:
        up = sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign > 0)
        return min(up, sum(ranks) - up)

    ours = smaller(tuple(difference))
    every = [smaller(signs) for signs in itertools.product((-1.0, 1.0), repeat=len(ranks))]
    w, p = wilcoxon(difference, [0.0] * len(difference))
    assert w == ours
    assert p == pytest.approx(sum(one <= ours for one in every) / len(every))


def test_wilcoxon_leaves_zeros_out_and_knows_ties_in_decimals() -> None:
    assert wilcoxon([1.0, 2.0], [1.0, 2.0]) == (0.0, 1.0)
    assert wilcoxon([5.0, 3.0, 1.0, 2.0], [5.0, 0.0, 0.0, 0.0]) == wilcoxon([3.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    binary, decimal = wilcoxon([0.9, 0.8, 0.5], [0.8, 0.7, 0.1]), wilcoxon([1.0, 1.0, 4.0], [0.0, 0.0, 0.0])
    assert binary == decimal


def test_paired_gathers_both() -> None:
    a, b = [3.0, 4.0, 8.0], [1.0, 3.0, 5.0]
    found = paired(a, b)
    assert (found.n, found.difference, found.sd) == (3, 2.0, 1.0)
    assert (found.t, found.p_t) == paired_t(a, b)
    assert (found.w, found.p_w) == wilcoxon(a, b)


def test_unequal_or_empty_is_refused() -> None:
    with pytest.raises(InputError, match="2 values against 1"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="no pair"):
        paired([], [])
