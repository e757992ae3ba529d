"""A matrix of numbers: shaded cells that can be read when few, an image with its strongest cells when many.

Its colours are those of :mod:`nervure.report.shades`, in light and in dark mode.
"""

from __future__ import annotations

import numpy as np

from nervure.evidence import Matrix
from nervure.report.markup import Reals, compact, empty, escape, note, number, real, shorten
from nervure.report.shades import crossing, palette, shares
from nervure.report.sprite import encode

__all__ = ["draw"]

_COLUMNS, _CELLS, _LARGEST, _STRONGEST = 16, 512, 1000, 10
_LABELS, _SLIM, _SLIM_LABELS = 40, 4, 12


def draw(figure: Matrix) -> str:
    """The matrix as a shaded table, or as an image when it is large.

    >>> "<table" in draw(Matrix(title="t", alt="a", values=np.eye(3), rows="abc", columns="abc"))
    True
    """
    values = real(figure.values, 2)
    if not np.isfinite(values).any():
        return empty()
    rows = _names(figure.rows, values.shape[0])
    columns = _names(figure.columns, values.shape[1])
    if values.shape[1] <= _COLUMNS and values.size <= _CELLS:
        return _few(figure, values, rows, columns)
    return _many(figure, values, rows, columns)


def _names(given: object, count: int) -> list[str]:
    words = [str(word) for word in given]  # type: ignore[attr-defined]
    return [*words, *map(str, range(len(words), count))][:count]


def _few(figure: Matrix, values: Reals, rows: list[str], columns: list[str]) -> str:
    shade, most = shares(values), float(np.nanmax(np.abs(values)))
    body = "".join(
        f'<tr><th scope="row" title="{escape(name)}">{escape(shorten(name, 18))}</th>'
        + "".join(_cell(value, part, figure.counts, most) for value, part in zip(line, parts, strict=True))
        + "</tr>"
        for name, line, parts in zip(rows, values, shade, strict=True)
    )
    head = "".join(
        f'<th scope="col" title="{escape(name)}"><span>{escape(shorten(name, 18))}</span></th>' for name in columns
    )
    turned = " nv-turned" if max(map(len, columns)) > 4 else ""
    over = f'<tr><td></td><th colspan="{len(columns)}" class="nv-axis">{escape(figure.x_label)}</th></tr>'
    corner = f'<td class="nv-axis">{escape(figure.y_label)}</td>'
    return (
        f'<div class="nv-scroll" tabindex="0" role="region" aria-label="{escape(figure.title)}">'
        f'<table class="nv-heat{turned}"><caption class="nv-unseen">{escape(figure.alt)}</caption>'
        f"<thead>{over if figure.x_label else ''}<tr>{corner}{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: float, part: float, counts: bool, most: float) -> str:
    if np.isnan(value):
        return '<td class="nv-gap">–</td>'
    words = number(int(value)) if counts and float(value).is_integer() else _brief(value, most)
    kinds = ["nv-below"] if part < 0 else []
    kinds += [f"nv-on-{mode}" for mode in ("light", "dark") if abs(part) >= crossing(mode, part < 0)]
    mark = f' class="{" ".join(kinds)}"' if kinds else ""
    return f'<td{mark} style="--v:{abs(part) * 100:.0f}%">{escape(words)}</td>'


def _brief(value: float, most: float) -> str:
    return f"{value:.2f}" if 0.05 <= most < 100 else compact(float(value))


def _many(figure: Matrix, values: Reals, rows: list[str], columns: list[str]) -> str:
    shrunk, (down, across) = _shrunk(values)
    index = np.where(np.isnan(shrunk), 255, np.rint(np.nan_to_num(shares(shrunk)) * 127) + 127).astype(np.uint8)
    light, dark = (encode(index, palette=palette(mode)) for mode in ("light", "dark"))
    picture = (
        f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(figure.alt)}"></picture>'
    )
    most = _SLIM_LABELS if values.shape[1] > _SLIM * len(rows) else _LABELS
    said = note(f"Every {down} by {across} cells are drawn as their mean.") if down * across > 1 else ""
    return (
        f'<div class="nv-large"><div>'
        f'<div class="nv-map" style="--ratio:{_ratio(*values.shape)}">'
        f'<b class="nv-y">{escape(figure.y_label)}</b>'
        f'<div class="nv-ys">{_ticks(rows, "top", most)}</div>{picture}'
        f'<div class="nv-xs">{_ticks(columns, "left")}</div>'
        f'<b class="nv-x">{escape(figure.x_label)}</b></div>'
        f"{_scale(shrunk)}{said}</div>{_strongest(figure, values, rows, columns)}</div>"
    )


def _ratio(tall: int, wide: int) -> str:
    """Width over height of the picture: of square cells, unless it would be a mere line.

    >>> _ratio(30, 20), _ratio(10, 400)
    ('20/30', '4/1')
    """
    if wide > _SLIM * tall:
        return f"{_SLIM}/1"
    return f"1/{_SLIM}" if tall > _SLIM * wide else f"{wide}/{tall}"


def _scale(values: Reals) -> str:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    below = f"<span>{escape(compact(low))}</span><i class=nv-below></i>" if low < 0 else ""
    above = f"<i></i><span>{escape(compact(high))}</span>" if high > 0 else ""
    return f'<p class="nv-scale">{below}<span>0</span>{above}<em>shade: root of the value</em></p>'


def _ticks(names: list[str], side: str, most: int = _LABELS) -> str:
    step = -(-len(names) // most)
    return "".join(
        f'<span style="{side}:{100 * (at + 0.5) / len(names):.2f}%" title="{escape(names[at])}">'
        f"{escape(shorten(names[at], 14))}</span>"
        for at in range(0, len(names), step)
    )


def _shrunk(values: Reals) -> tuple[Reals, tuple[int, int]]:
    """Means of blocks of cells, so that neither side is longer than can be drawn, and the size of a block.

    >>> _shrunk(np.arange(3000.0).reshape(2, 1500))[0][:, 0].tolist()
    [0.5, 1500.5]
    """
    down, across = (-(-size // _LARGEST) for size in values.shape)
    if down * across == 1:
        return values, (1, 1)
    known, total = np.isfinite(values).astype(np.float64), np.nan_to_num(values, posinf=0, neginf=0)
    for axis, step in enumerate((down, across)):
        starts = range(0, values.shape[axis], step)
        known, total = (np.add.reduceat(one, starts, axis=axis) for one in (known, total))
    return np.where(known > 0, total / np.maximum(known, 1), np.nan), (down, across)


def _strongest(figure: Matrix, values: Reals, rows: list[str], columns: list[str]) -> str:
    """The cells worth naming: off the diagonal where rows and columns are the same things."""
    pool = np.nan_to_num(np.abs(values))
    same = rows == columns
    if same:
        pool = pool * (1 - np.eye(len(values)))
    order = np.argsort(-pool, axis=None, kind="stable")[:_STRONGEST]
    found = [divmod(int(at), values.shape[1]) for at in order if pool.flat[at] > 0]
    if not found:
        return ""
    items = "".join(
        f"<tr><td>{escape(shorten(rows[row], 28))}</td><td>{escape(shorten(columns[column], 28))}</td>"
        f'<td class="num">{escape(_full(values[row, column], figure.counts))}</td></tr>'
        for row, column in found
    )
    heads = (figure.y_label or "row", figure.x_label or "column")
    names = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    where = "Strongest off the diagonal" if same else "Strongest"
    return (
        f'<div class="nv-scroll nv-strongest"><table><caption>{where}</caption><thead><tr>{names}'
        f'<th scope="col" class="num">value</th></tr></thead><tbody>{items}</tbody></table></div>'
    )


def _full(value: float, counts: bool) -> str:
    return number(int(value) if counts and float(value).is_integer() else float(value))
