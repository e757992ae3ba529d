"""Widths along a chain of layers: what was there pale, what stays solid inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nervure.evidence import Flow
from nervure.report.canvas import colour, still
from nervure.report.markup import compact, empty, identity, legend, note, real, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST", "draw"]

MOST = 160
"""Steps shown; of more the first ones are."""


def draw(figure: Flow) -> str:
    """Paired bars along the steps, each with its numbers.

    >>> "64 → 32" in draw(Flow(title="t", alt="a", steps=["conv1"], before=[64], after=[32]))
    True
    """
    before = real(figure.before, 1)
    total = len(before)
    before = before[:MOST]
    after = None if figure.after is None else real(figure.after, 1)[:MOST]
    after = after if after is not None and len(after) == len(before) else None
    if not np.isfinite(before).any() and (after is None or not np.isfinite(after).any()):
        return empty()
    names = [*figure.steps, *map(str, range(len(figure.steps), total))][: len(before)]
    end = float(np.nanmax(before if after is None else np.concatenate([before, after])))

    def paint(axes: Axes) -> None:
        rows = np.arange(len(before))
        wide = np.nan_to_num(before)
        axes.barh(rows, wide, 0.72, color=colour("c0" if after is None else "ghost"), linewidth=0)
        if after is not None:
            axes.barh(rows, np.nan_to_num(after), 0.4, color=colour("c0"), linewidth=0)
        for row, width in enumerate(wide):
            kept = None if after is None else float(after[row])
            words = compact(float(before[row])) + ("" if kept is None else f" → {compact(kept)}")
            reach = max(float(width), 0 if kept is None or np.isnan(kept) else kept)
            axes.text(reach + end * 0.015, row, words, va="center", fontsize=9, color=colour("muted"))
        axes.set_yticks(rows, [shorten(name, 24) for name in names])
        axes.set_ylim(len(before) - 0.4, -0.6)
        axes.set_xlim(0, (end or 1.0) * 1.36)
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)

    entries = [] if after is None else [("--ghost", "before", ""), ("--c0", "after", "")]
    more = note(f"The first {MOST} of {total} steps.") if total > MOST else ""
    unit = note(figure.y_label)
    height = 16 + max(18.0, 26.0 - len(before) / 3) * len(before)
    return legend(entries) + still(paint, ident=identity(figure), alt=figure.alt, height=height) + unit + more
