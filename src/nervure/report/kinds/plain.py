"""A kind that nobody draws: its arrays and notes, listed."""

from __future__ import annotations

import numpy as np

from nervure.evidence import Array, Figure
from nervure.report.markup import escape, note, number

__all__ = ["draw"]


def draw(figure: Figure, why: str = "") -> str:
    """A listing of the figure's arrays and notes.

    >>> "(3,)" in draw(Figure(title="t", alt="a", kind="k", data={"x": np.arange(3)}))
    True
    """
    rows = "".join(_row(name, np.asarray(values)) for name, values in figure.data.items())
    head = "<tr><th>array</th><th>shape</th><th>type</th>"
    head += "<th class=num>least</th><th class=num>greatest</th></tr>"
    listing = f'<div class="nv-scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>' if rows else ""
    notes = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in figure.notes.items())
    said = f"<dl>{notes}</dl>" if notes else ""
    return f"{note(why)}<p>{escape(figure.alt)}</p>{listing}{said}"


def _row(name: str, values: Array) -> str:
    least = greatest = "–"
    if values.size and np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values):
        finite = values[np.isfinite(values)]
        if finite.size:
            least, greatest = number(finite.min()), number(finite.max())
    cells = (name, values.shape, values.dtype)
    return (
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + f'<td class="num">{escape(least)}</td><td class="num">{escape(greatest)}</td></tr>'
    )  # fmt: skip
