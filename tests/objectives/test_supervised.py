"""Against the same written in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.supervised import AbsoluteError, CrossEntropy, HuberError, SquaredError


def batch(x: np.ndarray, y: np.ndarray) -> Batch:
    return Batch(torch.from_numpy(x), torch.from_numpy(y), torch.arange(len(x)))


def entropy(scores: np.ndarray, labels: np.ndarray, smoothing: float, weights: np.ndarray) -> float:
    """Cross-entropy against the smoothed target, one sample at a time."""
    total = 0.0
    for row, label in zip(scores, labels, strict=True):
        shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        total += -weights[label] * float(target @ np.log(shares))
    return total / len(labels)


class TestCrossEntropy:
    @given(st.integers(1, 7), st.integers(2, 5), st.sampled_from([0.0, 0.1, 0.9]), st.booleans(), st.integers(0, 99))
    def test_as_numpy(self, n: int, classes: int, smoothing: float, weighted: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        scores, labels = rng.normal(size=(n, classes)) * 3, rng.integers(0, classes, n)
        weights = rng.uniform(0.1, 3, classes) if weighted else np.ones(classes)
        goal = CrossEntropy(smoothing, weights.tolist() if weighted else None)
        loss, logs = goal(nn.Identity(), batch(scores, labels))
        assert float(loss) == pytest.approx(entropy(scores, labels, smoothing, weights), rel=1e-9)
        assert float(logs["accuracy"]) == pytest.approx((scores.argmax(1) == labels).mean())

    def test_balanced_weights_leave_the_mean_over_samples(self) -> None:
        """The mean is over samples, not over weights: doubling all weights doubles the loss."""
        data = batch(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0, 0]))
        once, twice = (CrossEntropy(class_weights=(w, w))(nn.Identity(), data)[0] for w in (1.0, 2.0))
        assert float(twice) == pytest.approx(2 * float(once))

    def test_bad_input_is_one_line(self) -> None:
        scores, labels = np.zeros((3, 2)), np.array([0, 1, 0])
        cases = [
            (CrossEntropy(), scores, np.array([0, 2, 0]), "a label is outside 0 to 1"),
            (CrossEntropy(), scores, np.array([0, -1, 0]), "a label is outside 0 to 1"),
            (CrossEntropy(class_weights=(1.0,)), scores, labels, "1 class weights"),
            (CrossEntropy(), np.zeros((3, 2, 4)), labels, r"outputs of shape \(2, 4\)"),
        ]
        for goal, given_scores, given_labels, message in cases:
            with pytest.raises(InputError, match=message) as error:
                goal(nn.Identity(), batch(given_scores, given_labels))
            assert "\n" not in str(error.value)
        with pytest.raises(InputError, match="label_smoothing = 1"):
            CrossEntropy(label_smoothing=1)
        with pytest.raises(InputError, match="needs labels, and the data has none"):
            CrossEntropy()(nn.Identity(), Batch(torch.zeros(2, 2), None, torch.arange(2)))


class TestRegression:
    @given(st.integers(1, 6), st.integers(1, 3), st.floats(0.1, 3), st.integers(0, 99))
    def test_as_numpy(self, n: int, outputs: int, delta: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        out, target = rng.normal(size=(n, outputs)), rng.normal(size=(n, outputs))
        off = np.abs(out - target)
        near = off <= delta
        expected = {
            SquaredError(): (off**2).mean(),
            AbsoluteError(): off.mean(),
            HuberError(delta): np.where(near, off**2 / 2, delta * (off - delta / 2)).mean(),
        }
        for goal, value in expected.items():
            assert float(goal(nn.Identity(), batch(out, target))[0]) == pytest.approx(value, rel=1e-9)

    def test_one_target_a_sample_may_have_no_axis(self) -> None:
        data = batch(np.array([[1.0], [2.0]], np.float32), np.array([1.0, 0.0], np.float32))
        assert float(SquaredError()(nn.Identity(), data)[0]) == 2.0

    def test_shapes_that_differ_are_not_spread(self) -> None:
        """(n, 3) outputs against (n, 1) targets would broadcast."""
        for goal in (SquaredError(), AbsoluteError(), HuberError()):
            with pytest.raises(InputError, match="gives 3 outputs a sample, the data has 1 targets"):
                goal(nn.Identity(), batch(np.zeros((4, 3)), np.zeros(4)))

    def test_delta(self) -> None:
        for delta in (0.0, -1.0):
            with pytest.raises(InputError, match="give a value above 0"):
                HuberError(delta)
