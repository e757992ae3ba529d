"""Where the rows of a history stand along a curve."""

from __future__ import annotations

import pytest

from nervure.report import history_curves


@pytest.mark.parametrize(
    ("epochs", "x"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([2, 5, 9], [2, 5, 9]),
        ([1, 2, 1, 2], [1, 2, 3, 4]),  # two cycles, each of which counts from one
        ([1, 1], [1, 2]),
        ([1, None, 3], [1, 2, 3]),
    ],
)
def test_no_curve_goes_back(epochs: list[int | None], x: list[int]) -> None:
    rows = [{"epoch": epoch, "train_loss": 1.0} for epoch in epochs]
    (curve,) = history_curves(rows)
    assert curve.x.tolist() == x
