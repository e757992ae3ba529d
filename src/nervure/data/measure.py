"""Preprocessing measured on the training split, in one pass, in float64, whatever the data's size.

Scale: 1/255 for unsigned bytes of images and tables, 1/max for other whole-numbered images, 1 for the rest.
Then mean and standard deviation of each channel (of each feature of a table), without masked time steps;
a channel that does not vary has a standard deviation of 1. Or its smallest and largest value, for a range from 0
to 1; or nothing of the kind.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from nervure.data.contents import Array, chunks
from nervure.data.dataset import Indices, Kind, Preprocessing
from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["Moments", "Scaling", "measure", "moments_of"]

Float = NDArray[np.float64]
Scaling = Literal["standard", "unit", "min-max", "each-min-max"]


class Moments(NamedTuple):
    """Count, mean and sum of squared deviations of each channel: each (channels,) float64."""

    n: Float
    mean: Float
    spread: Float

    def merge(self, other: Moments) -> Moments:
        """Both together (Chan, Golub and LeVeque, 1979).

        >>> one, two = (Moments(np.ones(1), np.full(1, v), np.zeros(1)) for v in (1.0, 3.0))
        >>> both = one.merge(two)
        >>> float(both.mean[0]), float(both.spread[0])
        (2.0, 2.0)
        """
        count = self.n + other.n
        safe = np.maximum(count, 1)
        apart = other.mean - self.mean
        mean = self.mean + apart * other.n / safe
        spread = self.spread + other.spread + apart**2 * self.n * other.n / safe
        return Moments(count, mean, spread)


def moments_of(x: Array, mask: NDArray[np.bool_] | None = None) -> Moments:
    """Moments of each channel of (n, channels, ...) values, where ``mask`` (n, time) is True.

    >>> moments_of(np.array([[[1.0, 3.0]]])).mean.tolist()
    [2.0]
    """
    # One contiguous row a channel: sums along it are numpy's pairwise ones.
    rows = np.ascontiguousarray(np.moveaxis(x, 1, 0), dtype=np.float64).reshape(x.shape[1], -1)
    if mask is not None:
        rows = rows[:, mask.reshape(-1)]
    count = np.full(len(rows), float(rows.shape[1]))
    mean = rows.sum(axis=1) / np.maximum(count, 1)
    return Moments(count, mean, ((rows - mean[:, None]) ** 2).sum(axis=1))


def measure(
    x: Array,
    kind: Kind,
    train: Indices,
    *,
    mask: NDArray[np.bool_] | None = None,
    scale: float | None = None,
    standardize: bool | Scaling = True,
    where: str = "arrays",
) -> Preprocessing:
    """The preprocessing of (n, channels, ...) samples, from those at ``train`` alone.

    ``standardize`` is as in :func:`nervure.data.from_arrays`.

    >>> found = measure(np.array([[[[0, 255]]]], dtype=np.uint8), "image", np.array([0]))
    >>> found.scale == 1 / 255, found.mean, found.std
    (True, (0.5,), (0.5,))
    """
    scaling = _scaling(standardize)
    scale = _scale(x, kind, train) if scale is None else scale
    if scaling == "unit":
        return Preprocessing(scale=scale)
    if scaling == "each-min-max":
        return Preprocessing(scale=scale, each="min-max")
    if scaling == "min-max":
        low, width = (value * scale for value in _range(x, train, mask))
        return Preprocessing(
            scale, tuple(map(float, low)), tuple(map(float, np.where(width > 0, width, 1.0))), clip=True
        )
    zero = np.zeros(x.shape[1])
    total = Moments(zero, zero, zero)
    with np.errstate(over="ignore", invalid="ignore"):
        for at, piece in chunks(x, train):
            total = total.merge(moments_of(piece, None if mask is None else mask[at]))
    mean = total.mean * scale
    std = np.sqrt(total.spread / np.maximum(total.n, 1)) * scale
    if not np.isfinite(std).all():
        raise InputError(f"{where}: values are too large to be standardised; bring them to a smaller scale first")
    std = np.where(std <= 1e-10 * np.abs(mean), 1.0, std)
    return Preprocessing(scale, tuple(map(float, mean)), tuple(map(float, std)))


def _scaling(asked: bool | str) -> Scaling:
    if isinstance(asked, bool):
        return "standard" if asked else "unit"
    for known in get_args(Scaling):
        if asked == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"unknown standardize {asked!r}; {nearest(str(asked), get_args(Scaling))}")


def _range(x: Array, train: Indices, mask: NDArray[np.bool_] | None) -> tuple[Float, Float]:
    """The smallest value of each channel, and how far above it the largest is."""
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    for at, piece in chunks(x, train):
        rows = np.moveaxis(piece, 1, 0).reshape(x.shape[1], -1).astype(np.float64)
        if mask is not None:
            rows = rows[:, mask[at].reshape(-1)]
        low, high = (
            np.minimum(low, rows.min(axis=1, initial=np.inf)),
            np.maximum(high, rows.max(axis=1, initial=-np.inf)),
        )
    seen = high >= low
    return np.where(seen, low, 0.0), np.where(seen, high - low, 0.0)


def _scale(x: Array, kind: Kind, train: Indices) -> float:
    if x.dtype == np.uint8 and kind != "series":
        return 1 / 255
    if kind == "image" and x.dtype.kind in "ui":
        most = max(int(piece.max()) for _, piece in chunks(x, train))
        return 1 / most if most > 0 else 1.0
    return 1.0
