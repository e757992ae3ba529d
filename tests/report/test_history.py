"""Where the rows of a history stand along a curve."""

from __future__ import annotations

import pytest

from nervure.report import history_curves


def test_lines_that_are_drawn_together_have_names_of_their_own() -> None:
    keys = ("train_loss", "train_kl_loss", "train_error_rate", "lr")
    curves = {curve.title: curve.labels for curve in history_curves([dict.fromkeys(keys, 1.0)])}
    assert curves == {"Loss": ("train loss", "train kl loss"), "Error rate": (), "Learning rate": ()}


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
