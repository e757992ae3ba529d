"""What is said of several seeds: mean, spread, and tests of differences, paired or not, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nervure.errors import InputError

__all__ = ["Paired", "Summary", "Unpaired", "against", "paired", "paired_t", "summary", "unpaired", "wilcoxon"]


class Summary(NamedTuple):
    """Number, mean, and sample standard deviation (n - 1); what cannot be said is None."""

    n: int
    mean: float | None
    sd: float | None


class Paired(NamedTuple):
    """Differences ``a - b`` pair by pair: number, mean, spread, and the two-sided p of two tests."""

    n: int
    difference: float
    sd: float | None
    t: float | None
    p_t: float | None
    w: float
    p_w: float


def summary(values: Sequence[float]) -> Summary:
    """Mean and spread of any number of values.

    >>> summary([1.0, 2.0, 3.0])
    Summary(n=3, mean=2.0, sd=1.0)
    >>> summary([1.0]), summary([])
    (Summary(n=1, mean=1.0, sd=None), Summary(n=0, mean=None, sd=None))
    """
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Summary(0, None, None)
    return Summary(len(found), float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None)


def paired_t(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Student's t of paired differences and its two-sided p; None for fewer than two pairs.

    Equal differences have no spread: t is then infinite and p is 0, or t is 0 and p is 1 if all are 0.

    >>> t, p = paired_t([3.0, 4.0, 8.0], [1.0, 3.0, 5.0])
    >>> round(t, 3), round(p, 3)
    (3.464, 0.074)
    """
    from scipy import stats

    difference = _differences(a, b)
    if len(difference) < 2:
        return None, None
    mean, sd = float(difference.mean()), float(difference.std(ddof=1))
    if sd == 0:
        return (0.0, 1.0) if mean == 0 else (math.copysign(math.inf, mean), 0.0)
    t = mean / (sd / math.sqrt(len(difference)))
    return t, float(2 * stats.t.sf(abs(t), len(difference) - 1))


def wilcoxon(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Wilcoxon's signed-rank statistic of paired differences and its two-sided p; zeros are left out.

    The statistic is the smaller of the two rank sums. p is exact for up to 50 pairs without ties, and by
    the normal approximation otherwise. Without any difference it is 1.

    >>> wilcoxon([1.0, 2.0, 3.0, 4.0], [0.5, 0.9, 1.0, 1.0])
    (0.0, 0.125)
    """
    from scipy import stats

    difference = _differences(a, b)
    difference = difference[difference != 0]
    if not len(difference):
        return 0.0, 1.0
    tied = len(np.unique(np.abs(difference))) < len(difference)
    method = "approx" if tied or len(difference) > 50 else "exact"
    found = stats.wilcoxon(difference, method=method)
    return float(found.statistic), float(found.pvalue)


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Both tests of ``a`` against ``b``, pair by pair.

    >>> paired([0.9, 0.8], [0.9, 0.8])
    Paired(n=2, difference=0.0, sd=0.0, t=0.0, p_t=1.0, w=0.0, p_w=1.0)
    """
    difference = _differences(a, b)
    if not len(difference):
        raise InputError("there is no pair to compare; give at least one")
    n, mean, sd = summary(difference.tolist())
    assert mean is not None
    return Paired(n, mean, sd, *paired_t(a, b), *wilcoxon(a, b))


class Unpaired(NamedTuple):
    """Two sets of values side by side: normality of each, the gain ``a - b``, and the two-sided p of three tests.

    ``shapiro_a`` and ``shapiro_b`` are p of Shapiro and Wilk's test; ``low`` and ``high`` bound the gain with 95 %
    confidence, by Welch.
    """

    shapiro_a: float
    shapiro_b: float
    gain: float
    low: float
    high: float
    t: float
    p_pooled: float
    p_welch: float
    p_mann_whitney: float


def unpaired(a: Sequence[float], b: Sequence[float]) -> Unpaired:
    """Tests of two sets of values that no seed pairs (spec ssim-kmeans-pruning, 4.1), each of three or more.

    >>> found = unpaired([91.5, 91.6, 91.4], [91.2, 91.3, 91.0])
    >>> round(found.gain, 3), found.p_pooled < 0.05
    (0.333, True)
    """
    from scipy import stats

    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if min(len(one), len(other)) < 3:
        raise InputError(f"{len(one)} values against {len(other)}: give three or more of each")
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        raise InputError("values without any spread cannot be tested; give some that differ")
    pooled, welch = stats.ttest_ind(one, other), stats.ttest_ind(one, other, equal_var=False)
    bounds = welch.confidence_interval(0.95)
    return Unpaired(
        float(stats.shapiro(one).pvalue), float(stats.shapiro(other).pvalue),
        float(one.mean() - other.mean()), float(bounds.low), float(bounds.high),
        float(pooled.statistic), float(pooled.pvalue), float(welch.pvalue),
        float(stats.mannwhitneyu(one, other, method="asymptotic").pvalue),
    )  # fmt: skip


def against(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired | None:
    """Both tests of two arms on the seeds that both have; None if there are none.

    >>> against({0: 2.0, 1: 3.0}, {1: 1.0, 2: 5.0}).difference
    2.0
    """
    seeds = sorted(ours.keys() & theirs.keys())
    return paired([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]) if seeds else None


def _differences(a: Sequence[float], b: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if len(a) != len(b):
        raise InputError(f"{len(a)} values against {len(b)}: paired values must be equally many")
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    size = float(np.abs(np.concatenate([one, other])).max(initial=0.0))
    # To 12 digits: what is equal in decimals must tie, whatever its last binary place.
    digits = 12 - math.ceil(math.log10(size)) if size > 0 else 0
    return np.round(one - other, digits)
