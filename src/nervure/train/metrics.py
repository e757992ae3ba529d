"""Measures of predictions, as pure functions on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "absolute_error",
    "accuracy",
    "calibration",
    "calibration_error",
    "confusion",
    "macro_f1",
    "recall",
    "root_squared_error",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confusion(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts (classes, classes): row = label, column = prediction.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
    array([[1, 0],
           [1, 1]])
    """
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(counts: Ints) -> float:
    """Share of samples on the diagonal of a confusion matrix.

    >>> accuracy(np.array([[1, 0], [1, 1]]))
    0.6666666666666666
    """
    return float(np.trace(counts) / max(1, counts.sum()))


def recall(counts: Ints) -> Floats:
    """Share of each class's samples that were found (classes,); NaN for a class without samples.

    >>> recall(np.array([[1, 0], [1, 1]]))
    array([1. , 0.5])
    """
    rows = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(rows > 0, np.diag(counts) / np.maximum(rows, 1), np.nan)


def macro_f1(counts: Ints) -> float:
    """Mean over classes of F1; a class with neither samples nor predictions does not count.

    >>> macro_f1(np.array([[1, 0], [1, 1]]))
    0.6666666666666666
    """
    hits, either = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    there = either > 0
    return float(np.mean(2 * hits[there] / either[there])) if there.any() else 0.0


def calibration(confidence: Floats, correct: NDArray[np.bool_], bins: int = 10) -> tuple[Floats, Floats, Ints]:
    """Mean confidence, accuracy and number of samples in equal bins of confidence (bins,) each; NaN where empty."""
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(at, weights=confidence, minlength=bins) / count
        right = np.bincount(at, weights=correct.astype(np.float64), minlength=bins) / count
    return mean, right, count


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins, by their samples.

    >>> round(calibration_error(np.array([0.95, 0.95]), np.array([True, False])), 3)
    0.45
    """
    mean, right, count = calibration(confidence, correct, bins)
    there = count > 0
    return float(np.sum(np.abs(mean - right)[there] * count[there]) / max(1, count.sum()))


def absolute_error(target: Floats, predicted: Floats) -> float:
    """Mean absolute difference.

    >>> absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    return float(np.mean(np.abs(target - predicted)))


def root_squared_error(target: Floats, predicted: Floats) -> float:
    """Root of the mean squared difference.

    >>> root_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.4142135623730951
    """
    return float(np.sqrt(np.mean(np.square(target - predicted))))
