"""Measures of predictions against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from nervure.train import metrics

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60).map(np.array)


@given(pairs)
def test_against_scikit_learn(both: np.ndarray) -> None:
    labels, predicted = both[:, 0], both[:, 1]
    counts = metrics.confusion(labels, predicted, 5)
    assert np.array_equal(counts, oracle.confusion_matrix(labels, predicted, labels=range(5)))
    assert metrics.accuracy(counts) == pytest.approx(oracle.accuracy_score(labels, predicted))
    there = np.union1d(labels, predicted)
    expected = oracle.f1_score(labels, predicted, labels=there, average="macro", zero_division=0)
    assert metrics.macro_f1(counts) == pytest.approx(expected)
    seen = np.unique(labels)
    expected = oracle.recall_score(labels, predicted, labels=seen, average=None, zero_division=0)
    assert np.allclose(metrics.recall(counts)[seen], expected)
    assert np.isnan(metrics.recall(counts)[np.setdiff1d(range(5), seen)]).all()


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.91, 0.55, 1.0])
    right = np.array([True, False, True, True])
    # bin 0.9-1.0 holds three samples: mean confidence 0.95333, accuracy 2/3; bin 0.5-0.6 one: 0.55 against 1
    expected = 0.75 * abs(0.95 + 0.91 + 1.0 - 2) / 3 + 0.25 * 0.45
    assert metrics.calibration_error(confidence, right) == pytest.approx(expected)


def test_a_confidence_between_two_bins_falls_into_the_upper() -> None:
    _, _, count = metrics.calibration(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]))
    assert count.nonzero()[0].tolist() == [0, 5, 9]  # but 1 has no upper one


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1).map(np.array))
def test_errors_against_scikit_learn(both: np.ndarray) -> None:
    target, out = both[:, 0], both[:, 1]
    assert metrics.absolute_error(target, out) == pytest.approx(oracle.mean_absolute_error(target, out))
    assert metrics.root_squared_error(target, out) == pytest.approx(oracle.root_mean_squared_error(target, out))
