"""Small pieces of HTML that all figures share: escaped text, readable numbers, legends, identity."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.evidence import Figure

Reals = NDArray[np.float64]

__all__ = [
    "COLOURS",
    "Reals",
    "compact",
    "empty",
    "escape",
    "identity",
    "legend",
    "note",
    "number",
    "printable",
    "real",
    "shorten",
    "told_apart",
]

COLOURS = 10
"""How many categorical colours the style sheet names, ``--c0`` to ``--c9``."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff￾￿]")
_DASH = "–"


def printable(text: object) -> str:
    """Text without the characters that no page may hold: controls, and halves of surrogate pairs.

    >>> printable("loss\\0 (nats)\\udcff")
    'loss (nats)'
    """
    return _CONTROL.sub("", str(text))


def escape(text: object) -> str:
    """Text as HTML, quotes included, of what is :func:`printable`.

    >>> escape('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(printable(text), quote=True)


def shorten(text: object, length: int) -> str:
    """At most ``length`` characters, the middle left out, since both ends of a layer's name matter.

    >>> shorten("features.12.conv.weight", 12)
    'featur…eight'
    """
    plain = printable(text)
    if len(plain) <= length:
        return plain
    head = length // 2
    return f"{plain[:head]}…{plain[len(plain) - (length - head - 1) :]}"


def number(value: object) -> str:
    """A number as a table shows it: thousands apart, four significant digits, a dash for what is missing.

    >>> number(1234567), number(0.98765), number(float("nan")), number(12345.6)
    ('1 234 567', '0.9877', '–', '12 346')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return _DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return _DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 1e4 <= abs(value) < 1e15:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}"


def compact(value: float) -> str:
    """A number as an axis or a tile shows it: three significant digits and a suffix.

    >>> compact(1234567), compact(431080), compact(0.25), compact(0)
    ('1.23M', '431k', '0.25', '0')
    """
    if not math.isfinite(value):
        return number(float(value))
    size = abs(value)
    for least, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= least * 0.9995:
            scaled = value / (1e3 if suffix == "k" else least)
            return f"{scaled:.{0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2}f}{suffix}"
    return f"{value:.3g}" if size < 1000 else f"{value:.0f}"


def told_apart(values: Sequence[float]) -> list[str]:
    """The numbers of an axis, with as many digits as it takes to tell them from each other.

    >>> told_apart([0.5, 1, 20000]), told_apart([0.9998, 0.9999, 1])
    (['0.5', '1', '20.0k'], ['0.9998', '0.9999', '1'])
    """
    shown = [compact(float(value)) for value in values]
    if len(set(shown)) == len(set(values)):
        return shown
    each = ([f"{value:.{digits}g}" for value in values] for digits in range(4, 17))
    return next((texts for texts in each if len(set(texts)) == len(set(values))), shown)


def real(values: ArrayLike | None, ndim: int) -> Reals:
    """Float64 with at least ``ndim`` axes, infinities as NaN: what any drawing can stand.

    >>> real([1, np.inf], 2).tolist()
    [[1.0, nan]]
    """
    if values is None:
        return np.zeros((0,) * ndim)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full(np.shape(values), np.nan)
    array = np.where(np.isfinite(array), array, np.nan)
    while array.ndim < ndim:
        array = array[None]
    return array.reshape((*array.shape[: ndim - 1], -1)) if array.ndim > ndim and array.size else array


def empty(why: str = "Nothing to show: there are no finite values.") -> str:
    """What stands where a figure has nothing in it.

    >>> empty("No pictures.")
    '<p class="nv-empty">No pictures.</p>'
    """
    return f'<p class="nv-empty">{escape(why)}</p>'


def note(text: str) -> str:
    """A remark below a figure; nothing for no text.

    >>> note("3 < 4"), note("")
    ('<p class="nv-note">3 &lt; 4</p>', '')
    """
    return f'<p class="nv-note">{escape(text)}</p>' if text else ""


def legend(entries: Sequence[tuple[str, str, str]], style: str = "square") -> str:
    """Names beside their colours, as a list that wraps: ``(colour variable, label, value)`` each.

    A style of ``"line"`` repeats the four dashes that :mod:`nervure.report.kinds.curve` draws.

    >>> legend([("--c0", "train", "0.1")])
    '<ul class="nv-legend nv-square"><li><i style="--key:var(--c0)"></i>train <b>0.1</b></li></ul>'
    """
    items = []
    for at, (colour, label, value) in enumerate(entries):
        dash = f' class="nv-d{at % 4}"' if style == "line" and at % 4 else ""
        said = f" <b>{escape(value)}</b>" if value else ""
        items.append(f'<li><i{dash} style="--key:var({colour})"></i>{escape(label)}{said}</li>')
    return f'<ul class="nv-legend nv-{style}">{"".join(items)}</ul>' if items else ""


def identity(figure: Figure) -> str:
    """A short digest of everything that a figure holds: the same evidence has the same one.

    >>> one, two = Figure(title="a", alt="", kind="k"), Figure(title="b", alt="", kind="k")
    >>> identity(one) == identity(one), identity(one) == identity(two)
    (True, False)
    """
    digest = hashlib.sha256()
    for one in dataclasses.fields(figure):
        _feed(digest, one.name)
        _feed(digest, getattr(figure, one.name))
    return f"f{digest.hexdigest()[:12]}"


def _feed(digest: hashlib._Hash, value: object) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(repr(value.tolist()).encode() if value.dtype.hasobject else np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value):
            _feed(digest, key)
            _feed(digest, value[key])
    else:
        digest.update(json.dumps(value, default=str).encode())
