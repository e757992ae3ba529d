"""The table of figures: the kind of an evidence -> the function that draws it, and ``draw``, which asks it.

A drawing function takes the figure and returns the inside of a ``<figure>`` as HTML, with every text that
comes from data escaped. Another package draws its own kind by an entry point in the group
``nervure.figures``, named as the kind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from nervure import registry
from nervure.errors import NervureError
from nervure.evidence import Figure
from nervure.report.kinds import plain
from nervure.report.markup import escape, identity

__all__ = ["draw", "figures"]

_log = logging.getLogger(__name__)

figures: registry.Table[Callable[[Figure], str]] = registry.Table(
    "figure",
    {
        "curve": ("nervure.report.kinds.curve:draw", "lines over a common axis, with spread", "nervure"),
        "matrix": ("nervure.report.kinds.matrix:draw", "a table of shaded numbers, or an image", "nervure"),
        "bars": ("nervure.report.kinds.bars:draw", "bars in groups, with whiskers", "nervure"),
        "scatter": (
            "nervure.report.kinds.scatter:draw",
            "points, with pictures under the pointer",
            "nervure",
        ),
        "images": ("nervure.report.kinds.images:draw", "a grid of pictures", "nervure"),
        "table": ("nervure.report.kinds.table:draw", "rows of cells", "nervure"),
        "flow": ("nervure.report.kinds.flow:draw", "widths before and after, layer by layer", "nervure"),
    },
    group="nervure.figures",
)


def draw(figure: Figure) -> str:
    """The figure as one ``<figure>`` element of HTML.

    A kind that nobody draws is listed plainly; so is one that fails, with what went wrong. What Nervure says of its
    own figures, such as that a package is missing, is raised.

    >>> html = draw(Figure(title="A <b>", alt="none", kind="unheard-of", data={}))
    >>> "A &lt;b&gt;" in html, "unheard-of" in html
    (True, True)
    """
    kind = escape(figure.kind)
    # A fragment of another package is wrapped, because nobody promises that it carries its alternative text.
    ours = type(figure) is not Figure
    body = _body(figure)
    inner = body if ours else f'<div role="group" aria-label="{escape(figure.alt)}">{body}</div>'
    caption = f"<figcaption>{escape(figure.title)}</figcaption>" if figure.title else ""
    return f'<figure class="nv-figure nv-{kind}" id="{identity(figure)}">{caption}{inner}</figure>'


def _body(figure: Figure) -> str:
    if figure.kind not in figures:
        return plain.draw(figure, f"No installed package draws a figure of kind {figure.kind!r}.")
    try:
        return str(figures.get(figure.kind)(figure))
    except Exception as error:
        if type(figure) is not Figure and isinstance(error, NervureError):
            raise
        # One figure must not cost the reader the whole page; what went wrong stays visible.
        _log.warning("figure %r of kind %r could not be drawn", figure.title, figure.kind, exc_info=True)
        return plain.draw(figure, f"Could not be drawn: {type(error).__name__}: {error}.")
