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
from nervure.study.statistics import paired, paired_t, summary, unpaired, wilcoxon

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


# Accuracy of ten retrainings, HRank and SSIM k-means (spec ssim-kmeans-pruning, 4.3).
PRINTED = {
    "A": (
        [91.13, 91.34, 91.07, 91.1, 91.42, 91.17, 91.39, 91.24, 91.16, 91.31],
        [91.52, 91.65, 91.47, 91.49, 91.4, 91.64, 91.43, 91.49, 91.53, 91.38],
    ),
    "B": (
        [90.49, 90.6, 90.58, 90.52, 90.62, 90.54, 90.41, 90.69, 90.38, 90.45],
        [90.87, 90.81, 91.1, 90.86, 91.01, 91.14, 91.0, 91.05, 91.1, 90.88],
    ),
    "C": (
        [90.47, 90.46, 90.75, 90.55, 90.68, 90.58, 90.33, 90.56, 90.38, 90.5],
        [90.8, 91.4, 90.97, 91.13, 91.09, 90.82, 91.12, 90.98, 90.81, 90.89],
    ),
}


@pytest.mark.parametrize(
    ("scenario", "shapiro", "t", "pooled", "welch", "ranks", "low", "high"),
    [
        ("A", (0.450, 0.411), 5.463, 3.4e-5, 4.8e-5, 4.4e-4, 0.164, 0.370),
        ("B", (0.977, 0.292), 9.352, 2.5e-8, 3.4e-8, 1.8e-4, 0.352, 0.556),
        ("C", (0.953, 0.239), 6.589, 3.5e-6, 6.6e-6, 1.8e-4, 0.322, 0.628),
    ],
)
def test_printed_accuracies_give_the_recomputed_tests(
    scenario: str, shapiro: tuple[float, float], t: float, pooled: float, welch: float, ranks: float, low: float,
    high: float,
) -> None:  # fmt: skip
    hrank, ssim = PRINTED[scenario]
    found = unpaired(ssim, hrank)
    assert (found.shapiro_b, found.shapiro_a) == pytest.approx(shapiro, abs=6e-4)
    assert found.t == pytest.approx(t, abs=6e-4)
    assert found.p_pooled == pytest.approx(pooled, rel=0.03)
    assert found.p_welch == pytest.approx(welch, rel=0.03)
    assert found.p_mann_whitney == pytest.approx(ranks, rel=0.03)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-4)
    sd = {"A": (0.119, 0.086), "B": (0.093, 0.112), "C": (0.121, 0.179)}[scenario]
    assert (np.std(hrank), np.std(ssim)) == pytest.approx(sd, abs=6e-4)  # as printed: of the population


def test_too_few_or_equal_values_are_refused() -> None:
    with pytest.raises(InputError, match="three or more"):
        unpaired([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="without any spread"):
        unpaired([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
