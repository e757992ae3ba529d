"""Bars in groups, spread as whiskers; lying down when their names are long or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nervure.evidence import Bars
from nervure.report.canvas import colour, name_axes, numbers, still
from nervure.report.markup import COLOURS, Reals, empty, identity, legend, note, real, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST", "draw"]

MOST = 120
"""Bars shown of one series; of more the first ones are."""

_ROOM = 44


def draw(figure: Bars) -> str:
    """The bars as SVG, under a legend when there are several series or groups.

    >>> "svg" in draw(Bars(title="t", alt="a", values=[[1, 2]], bars=["x", "y"]))
    True
    """
    values = real(figure.values, 2)
    total = values.shape[-1]
    values = values[:, :MOST]
    if not np.isfinite(values).any():
        return empty()
    spread = None if figure.spread is None else np.abs(real(figure.spread, 2)[:, :MOST])
    spread = spread if spread is not None and spread.shape == values.shape else None
    count = values.shape[1]
    names = [shorten(name, 28) for name in [*figure.bars, *map(str, range(len(figure.bars), count))][:count]]
    lying = count > 14 or sum(map(len, names)) > _ROOM

    groups = np.repeat(np.arange(len(values))[:, None], count, axis=1)
    if figure.groups is not None and figure.groups.shape == (total,):
        groups = np.broadcast_to(figure.groups[:count], values.shape)

    def paint(axes: Axes) -> None:
        _paint(axes, values, spread, groups, names, lying)
        if lying:
            axes.set_xlabel(figure.y_label)
        else:
            name_axes(axes, "", figure.y_label)

    height = 46 + count * max(15, 9 * len(values)) if lying else 190
    kinds = len(values) if figure.groups is None else int(figure.groups.max()) + 1
    series = [*figure.series, *[""] * kinds][:kinds]
    keys = legend([(f"--c{at % COLOURS}", name, "") for at, name in enumerate(series)]) if any(series) else ""
    more = note(f"The first {MOST} of {total} bars.") if total > MOST else ""
    return keys + still(paint, ident=identity(figure), alt=figure.alt, height=height) + more


def _paint(
    axes: Axes, values: Reals, spread: Reals | None, groups: NDArray[np.generic], names: list[str], lying: bool
) -> None:
    series, count = values.shape
    thick = 0.74 / series
    for index, row in enumerate(values):
        at = np.arange(count) + (index - (series - 1) / 2) * thick
        there = np.isfinite(row)
        draw_bars = axes.barh if lying else axes.bar
        colours = [colour(int(group)) for group in groups[index][there]]
        draw_bars(at[there], row[there], thick * 0.92, color=colours, linewidth=0)
        if spread is not None:
            known = there & np.isfinite(spread[index])
            low, high = row[known] - spread[index][known], row[known] + spread[index][known]
            lines = axes.hlines if lying else axes.vlines
            lines(at[known], low, high, color=colour("ink"), linewidth=1.1)
    place, across = (axes.yaxis, axes.xaxis) if lying else (axes.xaxis, axes.yaxis)
    place.set_ticks(np.arange(count), names)
    across.set_major_formatter(numbers())
    axes.grid(visible=False, axis="y" if lying else "x")
    if lying:
        axes.set_ylim(count - 0.5, -0.5)
        axes.spines["bottom"].set_visible(False)
    else:
        room = 0.6 + max(0.0, 0.3 * (4 - count))
        axes.set_xlim(-room, count - 1 + room)
