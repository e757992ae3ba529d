"""Infinite feature selection: columns scored over paths of every length between them.

Source: spec localized-features, 5 (Algorithm 1, eq. 2.21 to 2.23).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nervure.errors import InputError

__all__ = ["MOST", "inf_fs", "spearman"]

MOST = 4096
"""As many columns are compared each with each at most: that takes most of a gigabyte."""

Columns = NDArray[np.float64]


def spearman(columns: Columns) -> Columns:
    """Rank correlation of the columns of (samples, columns); 0 beside a constant column.

    >>> spearman(np.array([[1.0, 1.0, 5.0], [2.0, 4.0, 5.0], [3.0, 9.0, 5.0]])).round(6)
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 0.]])
    """
    # Counted from 0; a shift changes no correlation.
    ranks = np.stack([_ranks(column) for column in np.asarray(columns).T], axis=1)
    away = ranks - ranks.mean(0)
    norm = np.sqrt((away**2).sum(0))
    away = np.divide(away, norm, out=np.zeros_like(away), where=norm > 0)
    correlation: Columns = np.clip(away.T @ away, -1, 1)
    return correlation


def _ranks(column: Columns) -> Columns:
    """Rank of each value of (samples,), counted from 0; equal values share their mean rank."""
    ordered = np.sort(column)
    below, upto = (np.searchsorted(ordered, column, side=side) for side in ("left", "right"))
    ranks: Columns = (below + upto - 1) / 2
    return ranks


def inf_fs(columns: NDArray[np.floating], alpha: float = 0.5, ddof: int = 0) -> Columns:
    """(columns,) scores, higher = more relevant and less redundant.

    ``A_ij = alpha max(sd_i, sd_j) + (1 - alpha)(1 - |spearman_ij|)``; the score is the row sum of
    ``(I - r A)^-1 - I`` with ``r = 0.9 / rho(A)``. The deviations ``sd`` divide by the samples less ``ddof``.

    >>> x = np.array([[1, 2, 9, 4], [2, 1, 7, 4.5], [3, 5, 5, 1], [4, 4, 3, 2], [5, 6, 1, 3]])
    >>> inf_fs(x).round(6)
    array([ 7.709505,  8.47758 , 10.915939,  8.212493])
    """
    x = np.asarray(columns, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise InputError(f"columns of shape {x.shape}; give (samples, columns) with one of each at least")
    if x.shape[1] > MOST:
        raise InputError(f"infinite feature selection compares at most {MOST} columns, and these are {x.shape[1]}")
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha = {alpha}; give a number from 0 to 1")
    if not 0 <= ddof < len(x):
        raise InputError(f"ddof = {ddof} of {len(x)} samples; give a whole number from 0 to below that")
    if x.shape[1] == 1:
        return np.ones(1)
    deviation = x.std(0, ddof=ddof)
    weight = alpha * np.maximum.outer(deviation, deviation)
    weight += (1 - alpha) * (1 - np.abs(spearman(x)))
    np.fill_diagonal(weight, alpha * deviation)
    radius = float(np.abs(np.linalg.eigvalsh(weight)).max())
    if radius == 0:
        return np.ones(x.shape[1])
    paths = np.linalg.solve(np.eye(x.shape[1]) - 0.9 / radius * weight, np.ones(x.shape[1]))
    scores: Columns = np.clip(paths - 1, 0, None)
    return scores
