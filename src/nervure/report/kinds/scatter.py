"""Points in the plane: a still drawing, and an interactive one where there is something to hover over."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from nervure.errors import InputError
from nervure.evidence import Array, Scatter
from nervure.report.canvas import colour, name_axes, still
from nervure.report.extra import available
from nervure.report.markup import COLOURS, empty, escape, identity, legend, note, real
from nervure.report.sprite import as_pictures, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_BYTES", "MOST_HOVERING", "MOST_PICTURES", "MOST_POINTS", "draw"]

MOST_POINTS = 20_000
"""Points of a still drawing; of more, evenly chosen ones are drawn."""
MOST_HOVERING = 5_000
"""Points that answer to the pointer."""
MOST_PICTURES = 2_000
MOST_BYTES = 2_000_000
"""Points that show a picture under the pointer, and what these pictures hold before they are encoded."""

_SIDE = 64

_LEGEND = 24


def draw(figure: Scatter) -> str:
    """The points as SVG; with hover texts or thumbnails also as data for plotly, which the page inlines.

    >>> "data-plotly" in draw(Scatter(title="t", alt="a", points=[[0, 1], [1, 0]]))
    False
    """
    points = real(figure.points, 2)
    if not points.size or not np.isfinite(points).all(axis=-1).any():
        return empty()
    if points.shape[1] != 2:
        raise InputError(f"scatter {figure.title!r}: points have shape {points.shape}; give (n, 2)")
    groups = _groups(figure, len(points))
    there = np.flatnonzero(np.isfinite(points).all(axis=1))
    wanted = bool(figure.hover) or figure.thumbnails is not None
    lively = wanted and available("plotly")
    drawn = _some(there, MOST_POINTS)
    ident = identity(figure)
    line = _line(figure, points)
    body = _still(figure, points[drawn], groups[drawn], line, ident)
    notes = []
    if len(drawn) < len(there):
        notes.append(f"{len(drawn)} of {len(there)} points are drawn, evenly chosen.")
    if len(there) < len(points):
        notes.append(f"{len(points) - len(there)} points that are not finite are left out.")
    if lively:
        hovering = _some(there, MOST_HOVERING)
        data, shown = _payload(figure, points, groups, line, hovering)
        body = (
            f'<div class="nv-plot" data-plotly="scatter" data-from="{ident}-data" role="img" '
            f'aria-label="{escape(figure.alt)}">{body}</div>'
            f'<script type="application/json" id="{ident}-data">{data}</script>'
        )
        if len(hovering) < len(drawn):
            notes.append(f"{len(hovering)} of {len(there)} points answer to the pointer, evenly chosen.")
        if figure.thumbnails is not None and shown < len(there):
            notes.append(f"{shown} of {len(there)} points show their picture under the pointer.")
    elif wanted:
        notes.append("Install plotly to see what stands behind each point.")
    return _legend(figure, groups) + body + note(" ".join(notes))


def _groups(figure: Scatter, count: int) -> Array:
    if figure.groups is None or len(np.ravel(figure.groups)) != count:
        return np.zeros(count, dtype=np.int64)
    return np.nan_to_num(np.ravel(figure.groups).astype(np.float64), nan=-1).astype(np.int64)


def _some(where: Array, most: int) -> Array:
    """At most ``most`` of the positions, evenly spaced, the same each time."""
    return where if len(where) <= most else where[np.linspace(0, len(where) - 1, most).astype(np.int64)]


def _line(figure: Scatter, points: Array) -> Array:
    """The points that a line joins, (m, 2): those that are there."""
    wanted = np.zeros(0, dtype=np.int64) if figure.joined is None else np.ravel(figure.joined).astype(np.int64)
    found = points[wanted[(wanted >= 0) & (wanted < len(points))]]
    return np.asarray(found[np.isfinite(found).all(axis=1)])


def _variable(group: int) -> str:
    return "muted" if group < 0 else f"c{group % COLOURS}"


def _name(figure: Scatter, group: int) -> str:
    if group < 0:
        return "unknown"
    return figure.labels[group] if group < len(figure.labels) else str(group)


def _legend(figure: Scatter, groups: Array) -> str:
    there = np.unique(groups)
    if len(there) < 2 and not figure.labels:
        return ""
    if len(there) > _LEGEND:
        return note(f"{len(there)} groups: colours repeat after {COLOURS}, and numbers stand at the groups' middles.")
    return legend([(f"--{_variable(int(one))}", _name(figure, int(one)), "") for one in there], "dot")


def _still(figure: Scatter, points: Array, groups: Array, line: Array, ident: str) -> str:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    size = 5.2 if len(points) <= 400 else 3.4 if len(points) <= 4000 else 2.2
    there = np.unique(groups)

    def paint(axes: Axes) -> None:
        if len(line) > 1:
            axes.plot(*line.T, color=colour("muted"), linewidth=1.1, linestyle=(0, (4, 3)), zorder=0.5)
        for group in there:
            spots = points[groups == group]
            # A dot is a line of no length with round ends: one path a group, in the page's own colour.
            path = Path(np.repeat(spots, 2, axis=0), np.tile([Path.MOVETO, Path.LINETO], len(spots)))
            path.should_simplify = False
            look = {"edgecolor": colour(_variable(int(group))), "facecolor": "none", "alpha": 0.75}
            axes.add_patch(PathPatch(path, linewidth=size, capstyle="round", **look))
        for x, y, number in _middles(points, groups):
            axes.text(x, y, number, ha="center", va="center", fontsize=9, color=colour("ink"))
        axes.update_datalim(points)
        axes.margins(0.04)
        axes.autoscale_view()
        name_axes(axes, figure.x_label, figure.y_label)

    return still(paint, ident=ident, alt=figure.alt, height=220)


def _middles(points: Array, groups: Array) -> list[tuple[float, float, str]]:
    """Where to write the number of each group, if there are more of them than colours."""
    there = np.unique(groups)
    if len(there) <= COLOURS:
        return []
    middles = [np.median(points[groups == group], axis=0) for group in there]
    return [(float(x), float(y), str(group)) for (x, y), group in zip(middles, there, strict=True)]


def _payload(figure: Scatter, points: Array, groups: Array, line: Array, hovering: Array) -> tuple[str, int]:
    """What the page's script draws, as JSON that cannot end its own element; and how many pictures it has."""
    data: dict[str, object] = {
        "x": _rounded(points[hovering, 0], points[hovering, 0]),
        "y": _rounded(points[hovering, 1], points[hovering, 1]),
        "colour": [f"--{_variable(int(group))}" for group in groups[hovering]],
        "text": [_words(figure, int(at), int(groups[at])) for at in hovering],
        "xLabel": escape(figure.x_label),
        "yLabel": escape(figure.y_label),
        "numbers": _middles(points[hovering], groups[hovering]),
        "line": [_rounded(axis, among) for axis, among in zip(line.T, points[hovering].T, strict=True)],
    }
    shown = 0
    if figure.thumbnails is not None and len(figure.thumbnails) == len(points):
        chosen = _some(np.arange(len(hovering)), _affordable(figure.thumbnails))
        shown = len(chosen)
        sprite = sheet(as_pictures(np.asarray(figure.thumbnails)[hovering[chosen]]), side=_SIDE)
        spots: list[object] = [None] * len(hovering)
        for at, (x, y) in zip(chosen, sprite.spots, strict=True):
            spots[int(at)] = f"{x:.4f}% {y:.4f}%"
        size = f"{sprite.size[0]:.4f}% {sprite.size[1]:.4f}%"
        data["pictures"] = {"uri": sprite.uri, "size": size, "spots": spots, "shape": sprite.shape}
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"), shown


def _rounded(values: Array, among: Array) -> list[float]:
    """To five decimals, and to as many more as tell ``among`` from each other on the page."""
    spread = float(among.max() / 2 - among.min() / 2)
    places = max(5, 5 - math.floor(math.log10(spread))) if spread else 5
    return [round(float(value), places) for value in values]


def _affordable(thumbnails: Array) -> int:
    channels, height, width = (1, 1, 1, *thumbnails.shape)[-3:]
    one = min(int(channels), 3) * min(int(height), _SIDE) * min(int(width), _SIDE)
    return max(1, min(MOST_PICTURES, MOST_BYTES // max(1, one)))


def _words(figure: Scatter, at: int, group: int) -> str:
    said = figure.hover[at] if at < len(figure.hover) else ""
    grouped = _name(figure, group) if figure.groups is not None else ""
    return "\n".join(part for part in (grouped, said) if part)
