"""A grid of pictures, from one encoded sheet."""

from __future__ import annotations

import numpy as np

from nervure.evidence import Images
from nervure.report.markup import empty, escape, note
from nervure.report.sprite import as_pictures, sheet

__all__ = ["MOST", "draw"]

MOST = 240
"""Pictures shown; of more the first ones are."""

_SMALL = 64
_FIT = 8


def draw(figure: Images) -> str:
    """The pictures as a CSS grid over one sheet; framed ones are marked red and named in words too.

    >>> "data:image/png" in draw(Images(title="t", alt="a", pictures=np.zeros((3, 1, 8, 8), np.uint8)))
    True
    """
    pictures = as_pictures(figure.pictures)
    total = len(pictures)
    if not total:
        return empty("No pictures.")
    pictures = pictures[:MOST]
    sprite = sheet(pictures, side=160)
    framed = np.zeros(total, dtype=bool)
    if figure.framed is not None:
        marks = np.asarray(figure.framed).astype(bool).ravel()[:total]
        framed[: len(marks)] = marks
    captions = [*figure.captions, *[""] * total]
    cells = "".join(_cell(spot, captions[index], bool(framed[index])) for index, spot in enumerate(sprite.spots))
    height, width = sprite.shape
    columns = max(1, min(figure.columns, total))
    small = " nv-pixels" if max(height, width) <= _SMALL else ""
    small += " nv-wide" if columns > _FIT else ""
    # A column of pictures too detailed for a thumbnail, as masks of kernels are.
    small += " nv-one nv-pixels" if figure.columns == 1 and width > _SMALL else ""
    role = "group" if figure.captions else "img"
    more = f"The first {MOST} of {total} pictures." if total > MOST else ""
    return (
        f'<div class="nv-scroll"><div class="nv-grid{small}" role="{role}" aria-label="{escape(figure.alt)}" '
        f'style="--columns:{columns};--ratio:{width}/{height};'
        f'--sheet:{sprite.size[0]:.4f}% {sprite.size[1]:.4f}%;--sprite:url({sprite.uri})">{cells}</div></div>'
        + note(more)
    )


def _cell(spot: tuple[float, float], caption: str, framed: bool) -> str:
    mark = ' class="nv-framed"' if framed else ""
    words = f"<span>{escape(caption)}</span>" if caption else ""
    return f'<div{mark}><i style="background-position:{spot[0]:.4f}% {spot[1]:.4f}%"></i>{words}</div>'
