"""The recording that samples are windows of, and where windows lie in it (spec deepcluster, Fig 7.2 and 7.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nervure.cluster.figures.series import left, variates
from nervure.cluster.figures.view import View
from nervure.data.contents import Array
from nervure.data.windows import overlap_average
from nervure.evidence import Curve, Figure

__all__ = ["continued", "step_of", "windows"]

SHOWN = 5
"""Windows that are drawn as lines."""

JOINED = 40
"""Windows that are joined to a recording."""

LOOKED_AT = 2000
"""Samples among which the longest stretch is looked for."""

FIRST = 64
"""Samples that the step is read of."""


def continued(x: Array, step: int) -> NDArray[np.bool_]:
    """Which windows (n, channels, time) go on in the one after them, ``step`` later: (n - 1,); level ones do not.

    >>> continued(np.array([[[1, 2, 3]], [[2, 3, 4]], [[9, 9, 9]]]), 1).tolist()
    [True, False]
    """
    shared, again = x[:-1, :, step:], x[1:, :, : x.shape[2] - step]
    return np.asarray((shared == again).all(axis=(1, 2)) & (np.ptp(shared, axis=2) > 0).any(axis=1))


def step_of(x: Array) -> int:
    """How far after the one before it a window (n, channels, time) begins; 0 where most do not overlap.

    >>> step_of(np.arange(12)[np.array([[0], [2], [4]]) + np.arange(6)][:, None])
    2
    """
    if len(x) < 2:
        return 0
    begins = (x[:-1, 0, 1:-1] == x[1:, 0, :1]).mean(axis=0) > 0.5  # few places are left to compare whole windows at
    steps: list[int] = (np.flatnonzero(begins) + 1).tolist()
    return next((step for step in steps if continued(x, step).mean() > 0.5), 0)


def windows(view: View) -> dict[str, Figure]:
    """The longest stretch of overlapping windows joined again, and its first windows below their part of it."""
    if view.ds.kind != "series" or view.ds.mask is not None:
        return {}
    step, length = step_of(np.asarray(view.ds.x[view.at[:FIRST]])), view.ds.in_shape[-1]
    if not step:
        return {}
    x = np.asarray(view.ds.x[view.at[:LOOKED_AT]])
    breaks = np.flatnonzero(np.r_[True, ~continued(x, step), True])
    longest = int(np.diff(breaks).argmax())
    rows = np.arange(breaks[longest], breaks[longest + 1])[:JOINED]
    starts = np.arange(len(rows)) * step
    lines = overlap_average(x[rows], starts, int(starts[-1]) + length)[:, : len(variates(view))].T
    return {
        "series-stretch": _curve(
            view,
            f"The recording that windows are cut from{left(view)}",
            f"The {len(rows)} windows from {view.called(int(rows[0]))} on, joined",
            lines,
        ),
        "series-windows": _first(view, rows[:SHOWN], step, lines[:, : int(starts[:SHOWN][-1]) + length]),
    }


def _first(view: View, rows: NDArray[np.int64], step: int, lines: Array) -> Curve:
    """Each window is a level line where it lies, the next one lower."""
    length = view.ds.in_shape[-1]
    gap = float(np.ptp(lines)) / 12
    marks = np.full((len(rows), lines.shape[1]), np.nan)
    for number in range(len(rows)):
        marks[number, number * step : number * step + length] = lines.min() - (number + 1) * gap
    names = [f"window {number}: cluster {view.clusters[row]}" for number, row in enumerate(rows, start=1)]
    return _curve(
        view,
        f"Windows of {length} time steps, one every {step}{left(view)}",
        f"{len(rows)} windows from {view.called(int(rows[0]))} on, below what they are cut from; {', '.join(names)}",
        np.concatenate([lines, marks]),
        names,
    )


def _curve(view: View, title: str, said: str, y: Array, names: list[str] | None = None) -> Curve:
    marked = names or []
    return Curve(
        title=title,
        alt=f"{said}.",
        x=np.arange(y.shape[1]),
        y=y,
        labels=[*(view.ds.column(one) for one in range(len(y) - len(marked))), *marked],
        x_label="time step",
        y_label="stored value",
    )
