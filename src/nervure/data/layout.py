"""Layout: which axis of a sample is what, stated or guessed, and brought into one order.

The rules by which a layout is guessed, from the number of axes of all samples together:

- 4: images. Channels last if the last axis is 1, 3 or 4 long and the second is not; channels first otherwise.
- 3: grey images if the numbers are unsigned bytes or the sample is square; series (channels, time) otherwise.
- 2: a table of features, unless the source is known to hold series (then one channel).
"""

from __future__ import annotations

from typing import cast

import numpy as np

from nervure.data.contents import Array, Stacked
from nervure.data.dataset import Kind
from nervure.errors import InputError

__all__ = ["LAYOUTS", "arrange"]

LAYOUTS: dict[str, Kind] = {
    "hw": "image", "chw": "image", "hwc": "image", "t": "series", "ct": "series", "tc": "series",
    "f": "table",
}  # fmt: skip
_BY_AXES: dict[Kind, dict[int, str]] = {
    "image": {3: "hw", 4: "chw"},
    "series": {2: "t", 3: "ct"},
    "table": {2: "f"},
}


def arrange(x: Array, kind: Kind | None, layout: str | None, where: str) -> tuple[Array, Kind]:
    """Bring samples into (n, channels, height, width), (n, channels, time) or (n, features), without copying.

    Examples
    --------
    >>> arrange(np.zeros((5, 8, 9, 3), np.uint8), None, None, "five")[0].shape
    (5, 3, 8, 9)
    >>> arrange(np.zeros((5, 3, 20), np.float32), None, None, "five")[1]
    'series'
    """
    check_values(x, where)
    layout = layout or guess(x, kind, where)
    if layout not in LAYOUTS:
        raise InputError(f"{where}: unknown layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if kind is not None and LAYOUTS[layout] != kind:
        raise InputError(f"{where}: layout {layout!r} is one of a {LAYOUTS[layout]}, not of kind {kind!r}")
    if x.ndim != len(layout) + 1:
        raise InputError(
            f"{where}: samples of shape {x.shape[1:]} do not have the axes of layout {layout!r}; "
            f"give another layout=, one of {', '.join(LAYOUTS)}"
        )
    if isinstance(x, Stacked):
        moved = Stacked([_move(part, layout) for part in x.parts])
        return cast(Array, moved), LAYOUTS[layout]
    return _move(x, layout), LAYOUTS[layout]


def guess(x: Array, kind: Kind | None, where: str) -> str:
    """The layout that the rules of this file give to samples of a known or unknown kind.

    >>> guess(np.zeros((5, 16, 16)), None, "five"), guess(np.zeros((5, 16)), None, "five")
    ('hw', 'f')
    """
    if kind is not None and kind not in _BY_AXES:
        raise InputError(f"{where}: unknown kind {kind!r}; there are: {', '.join(_BY_AXES)}")
    if x.ndim == 4 and kind in (None, "image"):
        few = (1, 3, 4)
        return "hwc" if x.shape[-1] in few and x.shape[1] not in few else "chw"
    if kind is None:
        square = x.ndim == 3 and x.shape[1] == x.shape[2]
        kind = "table" if x.ndim == 2 else "image" if x.dtype == np.uint8 or square else "series"
    try:
        return _BY_AXES[kind][x.ndim]
    except KeyError:
        raise InputError(
            f"{where}: samples of shape {tuple(x.shape[1:])} cannot be read as {kind}; "
            f"give kind= or layout= ({', '.join(LAYOUTS)})"
        ) from None


def check_values(x: Array, where: str) -> None:
    """Refuse what is not a non-empty array of real numbers.

    >>> check_values(np.array(["a"]), "here")
    Traceback (most recent call last):
    nervure.errors.InputError: here: samples are <U1, not real numbers of at most 64 bits
    """
    if x.ndim == 0 or len(x) == 0:
        raise InputError(f"{where}: holds no samples")
    if x.dtype.kind not in "buif" or x.dtype.itemsize > 8:
        raise InputError(f"{where}: samples are {x.dtype}, not real numbers of at most 64 bits")
    if 0 in x.shape:
        raise InputError(f"{where}: samples of shape {tuple(x.shape[1:])} hold no values")
    if x.ndim == 1:
        raise InputError(f"{where}: each sample is a single number; give an array of (n, ...) samples")


def _move(x: Array, layout: str) -> Array:
    if layout in ("hw", "t"):
        return x[:, None]
    if layout in ("hwc", "tc"):
        return np.moveaxis(x, -1, 1)
    return x
