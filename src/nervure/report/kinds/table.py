"""Rows of cells: numbers to the right, text to the left, in a box that scrolls by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nervure.evidence import Table
from nervure.report.markup import empty, escape, note, number

__all__ = ["MOST", "draw"]

_NUMBER = re.compile(r"[+−±-]?\d[\d  .,]*( ?%| points)?")

MOST = 400
"""Rows shown; of a longer table the first ones are, and the rest is counted."""


def draw(figure: Table) -> str:
    """The table as HTML.

    >>> draw(Table(title="t", alt="a", columns=["n"], rows=[[1200]])).count("1 200")
    1
    """
    rows = [list(row) for row in figure.rows]
    width = max([len(figure.columns), *(len(row) for row in rows)], default=0)
    if not width:
        return empty("An empty table.")
    columns = [*figure.columns, *[""] * (width - len(figure.columns))]
    rows = [[*row, *[None] * (width - len(row))] for row in rows]
    marks = [' class="num"' if _numeric([row[at] for row in rows]) else "" for at in range(width)]
    head = "".join(f'<th scope="col"{mark}>{escape(name)}</th>' for name, mark in zip(columns, marks, strict=True))
    top = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    body = "".join(f"<tr>{_cells(row, marks)}</tr>" for row in rows[:MOST])
    more = note(f"The first {MOST} of {len(rows)} rows.") if len(rows) > MOST else ""
    return (
        f'<div class="nv-scroll" tabindex="0" role="region" aria-label="{escape(figure.title)}">'
        f'<table><caption class="nv-unseen">{escape(figure.alt)}</caption>'
        f"{top}<tbody>{body}</tbody></table></div>{more}"
    )


def _cells(row: Sequence[object], marks: Sequence[str]) -> str:
    return "".join(f"<td{mark}>{escape(number(cell))}</td>" for cell, mark in zip(row, marks, strict=True))


def _numeric(cells: Sequence[object]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(
        bool(_NUMBER.fullmatch(cell)) if isinstance(cell, str) else not isinstance(cell, bool) for cell in there
    )
