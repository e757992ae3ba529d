"""Lines over a common axis, their spread as a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nervure.evidence import Curve
from nervure.report.canvas import colour, name_axes, still
from nervure.report.markup import COLOURS, Reals, compact, empty, identity, legend, real

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.8)), (0, (6, 2, 1.5, 2)))
_FEW = 12


def draw(figure: Curve) -> str:
    """The lines as SVG, under a legend that gives each one's last value.

    >>> curve = Curve(title="loss", alt="falls", x=np.arange(3), y=[[3, 2, 1]], labels=["train"])
    >>> draw(curve).startswith('<ul class="nv-legend')
    True
    """
    x, y, spread = _arrays(figure)
    if not (np.isfinite(y) & np.isfinite(x)).any():
        return empty()

    def paint(axes: Axes) -> None:
        for index, line in enumerate(y):
            dash = _DASHES[index % len(_DASHES)]
            axes.plot(x, line, color=colour(index), linestyle=dash, linewidth=1.8, zorder=3 + (len(y) - index) / 100)
            _dots(axes, x, line, index)
            if spread is not None:
                low = line - spread[index]
                low = np.maximum(low, np.nanmin(line) / 2) if figure.log_y else low
                axes.fill_between(x, low, line + spread[index], color=colour(index), alpha=0.18, linewidth=0)
        _marks(axes, figure)
        axes.margins(x=0.015)
        _ticks(axes, x, y, figure.log_y)
        name_axes(axes, figure.x_label, figure.y_label)

    labels = [*figure.labels, *[""] * len(y)][: len(y)]
    timed = figure.x_label in ("epoch", "step", "")  # elsewhere the last point is not where things stand
    entries = [
        (f"--c{at % COLOURS}", label, _last(line) if timed else "")
        for at, (label, line) in enumerate(zip(labels, y, strict=True))
    ]
    keys = legend(entries, "line") if any(labels) else ""
    return keys + still(paint, ident=identity(figure), alt=figure.alt)


def _arrays(figure: Curve) -> tuple[Reals, Reals, Reals | None]:
    y = real(figure.y, 2)
    x = real(figure.x, 1)
    if len(x) != y.shape[-1]:
        x = np.arange(y.shape[-1], dtype=np.float64)
    if figure.log_y:
        y = np.where(y > 0, y, np.nan)
    spread = None if figure.spread is None else np.abs(real(figure.spread, 2))
    return x, y, spread if spread is not None and spread.shape == y.shape else None


def _dots(axes: Axes, x: Reals, line: Reals, index: int) -> None:
    there = np.isfinite(line) & np.isfinite(x)
    # A value between two gaps makes no line; a dot keeps it visible.
    alone = there & ~np.r_[False, there[:-1]] & ~np.r_[there[1:], False]
    shown = there if len(x) <= _FEW else alone
    for at in np.flatnonzero(shown):
        axes.plot(
            [x[at], x[at]],
            [line[at]] * 2,
            color=colour(index),
            linewidth=3.8,
            solid_capstyle="round",
            zorder=4,
        )


def _marks(axes: Axes, figure: Curve) -> None:
    places = real(np.empty(0) if figure.marks is None else figure.marks, 1)
    labels = [*figure.mark_labels, *[""] * len(places)][: len(places)]
    for place, label in zip(places, labels, strict=True):
        axes.axvline(place, linestyle=(0, (3, 3)), linewidth=0.9, color=colour("muted" if label else "rule"), zorder=2)
    # Labels stand under each other above the lines, so that those of near places stay apart.
    named = [(place, label) for place, label in zip(places, labels, strict=True) if label]
    axes.margins(y=0.05 + 0.1 * len(named))
    for row, (place, label) in enumerate(named):
        right = place > np.mean(axes.get_xlim())
        axes.annotate(
            label,
            (place, 1 - 0.09 * row),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if right else 3, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=8,
            color=colour("muted"),
            zorder=5,
        )


def _ticks(axes: Axes, x: Reals, y: Reals, log: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    if log:
        axes.set_yscale("log")
        wide = np.nanmax(y) / np.nanmin(y) > 300
        axes.yaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    finite = x[np.isfinite(x)]
    if bool((finite == np.rint(finite)).all()):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(visible=False, axis="x")


def _last(line: Reals) -> str:
    there = line[np.isfinite(line)]
    return compact(float(there[-1])) if there.size else "–"
