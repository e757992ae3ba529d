"""Shades for matrices: straight lines in OKLab between two colours of the page, so equal steps look equal.

There is one pair of ends for light and one for dark mode; the style sheet holds the same ends.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from nervure.report.markup import Reals

__all__ = ["ENDS", "contrast", "crossing", "palette", "ramp", "shares"]

ENDS = {"light": ("#f0f2ec", "#0e4f47", "#9c4415"), "dark": ("#222a26", "#a5ecd0", "#f6bd91")}
"""By mode: the colours of nothing, of the most, and of the most below zero."""

Colours = NDArray[np.uint8]


def shares(values: Reals) -> Reals:
    """Each value's shade in [-1, 1]: the root of its share, so that rare confusions stay visible; NaN stays.

    >>> shares(np.array([[0.0, 1.0, 4.0, -4.0]])).tolist()
    [[0.0, 0.5, 1.0, -1.0]]
    """
    most = float(np.nanmax(np.abs(values))) or 1.0
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values) / most))


def ramp(low: str, high: str, steps: int) -> Colours:
    """(steps, 3) bytes from one colour to another, evenly spaced to the eye.

    >>> ramp("#000000", "#ffffff", 3).tolist()
    [[0, 0, 0], [99, 99, 99], [255, 255, 255]]
    """
    share = np.linspace(0, 1, steps)[:, None]
    return _from_oklab(_to_oklab(low) * (1 - share) + _to_oklab(high) * share)


def palette(mode: str) -> bytes:
    """256 colours: 0 to 254 for shares from -1 to 1, 255 for what is missing.

    >>> len(palette("dark"))
    768
    """
    low, high, below = ENDS[mode]
    colours = [ramp(below, low, 128)[:-1], ramp(low, high, 128), np.full((1, 3), 128, np.uint8)]
    return np.concatenate(colours).tobytes()


@functools.cache
def crossing(mode: str, below: bool = False) -> float:
    """The share from which text in the other of black and white is easier to read.

    >>> 0.5 < crossing("light") < 0.8
    True
    """
    low, high, negative = ENDS[mode]
    grounds = ramp(low, negative if below else high, 201)
    first, other = ("#000000", "#ffffff") if mode == "light" else ("#ffffff", "#000000")
    better = [contrast(one, other) > contrast(one, first) for one in grounds]
    return better.index(True) / 200


def contrast(ground: Colours, ink: str) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21.

    >>> contrast(np.zeros(3, np.uint8), "#ffffff")
    21.0
    """
    bright, dark = sorted((_luminance(ground), _luminance(_bytes(ink))), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _bytes(colour: str) -> Colours:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], dtype=np.uint8)


def _linear(colour: Colours) -> Reals:
    stored = colour / 255
    return np.asarray(np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4))


def _luminance(colour: Colours) -> float:
    return round(float(_linear(colour) @ np.array([0.2126, 0.7152, 0.0722])), 9)


def _to_oklab(colour: str) -> Reals:
    return np.asarray(_LAB @ np.cbrt(_LMS @ _linear(_bytes(colour))))


def _from_oklab(lab: Reals) -> Colours:
    linear = (np.linalg.inv(_LMS) @ (np.linalg.inv(_LAB) @ lab.T) ** 3).T.clip(0, 1)
    stored = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(stored * 255).astype(np.uint8))
