"""Principal components of columns, and one score for each column.

Source: spec localized-features, 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nervure.errors import InputError

__all__ = ["Components", "pca", "pca_scores"]

Columns = NDArray[np.float64]


class Components(NamedTuple):
    """``axes`` (columns, components) with orthonormal columns; ``variances`` (components,), the largest first."""

    axes: Columns
    variances: Columns


def pca(columns: NDArray[np.floating]) -> Components:
    """All principal components of (samples, columns): of the covariance ``X^T X / (samples - 1)`` of centred columns.

    >>> pca(np.array([[1.0, 1.0], [3.0, 3.0]])).variances.round(6)
    array([4., 0.])
    """
    x = np.asarray(columns, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise InputError(f"columns of shape {x.shape}; give (samples, columns) with one of each at least")
    away = x - x.mean(0)
    _, sizes, axes = np.linalg.svd(away, full_matrices=False)
    return Components(axes.T, sizes**2 / max(1, len(x) - 1))


def pca_scores(columns: NDArray[np.floating], share: float = 0.95) -> Columns:
    """(columns,) ``sum_i (lambda_i / sum lambda) |U_ji|`` over the fewest components with ``share`` of the variance.

    Ones where no column varies.

    >>> pca_scores(np.array([[1.0, 5.0, 0.0], [3.0, 5.0, 0.0]]))
    array([1., 0., 0.])
    """
    axes, variances = pca(columns)
    total = variances.sum()
    # Constant columns keep the rounding of their mean.
    if total <= (np.finfo(np.float64).eps * np.abs(columns).max()) ** 2 * np.size(columns):
        return np.ones(axes.shape[0])
    shares = variances / total
    enough = int(np.searchsorted(np.cumsum(shares), share - 1e-12)) + 1
    scores: Columns = np.abs(axes[:, :enough]) @ shares[:enough]
    return scores
