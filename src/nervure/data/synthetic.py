"""Seeded images and series with known structure, to see whether a method finds what is there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nervure.data.contents import Array, Contents
from nervure.data.dataset import Indices
from nervure.errors import InputError

__all__ = ["SHAPES", "WAVES", "Series", "Shapes", "read_series", "read_shapes", "series", "shapes"]

SHAPES = ("disc", "square", "triangle", "cross", "ring")
WAVES = ("sine", "square", "sawtooth", "chirp")


class Shapes(NamedTuple):
    """Images (n, channels, size, size) u8, labels (n,) and the foreground (n, size, size) bool."""

    images: NDArray[np.uint8]
    labels: Indices
    masks: NDArray[np.bool_]


class Series(NamedTuple):
    """Series (n, channels, length) float32 ending in NaN, labels (n,) and lengths (n,)."""

    values: NDArray[np.float32]
    labels: Indices
    lengths: Indices


def shapes(n: int = 600, size: int = 32, seed: int = 0, *, noise: float = 0.1, channels: int = 1) -> Shapes:
    """Discs, squares, triangles, crosses and rings, bright on a dark ground, under Gaussian noise.

    Place, radius (a fifth to a third of the side), turn and brightness are random; the classes take turns.

    >>> made = shapes(10, size=16, seed=3)
    >>> made.images.shape, made.labels.tolist()[:6], bool(made.masks.any(axis=(1, 2)).all())
    ((10, 1, 16, 16), [0, 1, 2, 3, 4, 0], True)
    """
    _check(n=n, size=size, channels=channels, noise=noise)
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % len(SHAPES)
    radius = rng.uniform(0.2, 0.33, n) * size
    room = size - 2 * radius
    centre = radius[:, None] + rng.random((n, 2)) * room[:, None]
    turn = rng.uniform(0, 2 * np.pi, n)
    grid = np.arange(size) + 0.5
    down = (grid[None, :, None] - centre[:, 0, None, None]) / radius[:, None, None]
    across = (grid[None, None, :] - centre[:, 1, None, None]) / radius[:, None, None]
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    masks = _inside(labels, cos * across + sin * down, cos * down - sin * across)
    ground = rng.uniform(0.05, 0.3, (n, channels, 1, 1))
    bright = rng.uniform(0.6, 0.95, (n, channels, 1, 1))
    images = np.where(masks[:, None], bright, ground) + noise * rng.standard_normal((n, channels, size, size))
    return Shapes((images.clip(0, 1) * 255).round().astype(np.uint8), labels, masks)


def _inside(labels: Indices, u: Array, v: Array) -> NDArray[np.bool_]:
    """Which points of the turned unit frame lie inside each sample's shape."""
    distance = np.hypot(u, v)
    side = np.sqrt(0.5)
    rules = (
        distance <= 1,
        (abs(u) <= side) & (abs(v) <= side),
        (v >= -0.5) & (v <= 1 - np.sqrt(3) * abs(u)),
        ((abs(u) <= 0.25) | (abs(v) <= 0.25)) & (distance <= 1),
        (distance <= 1) & (distance >= 0.55),
    )
    return np.asarray(np.choose(labels[:, None, None], rules))


def series(
    n: int = 400,
    length: int = 64,
    seed: int = 0,
    *,
    channels: int = 3,
    noise: float = 0.1,
    unequal: bool = False,
) -> Series:
    """Sines, square waves, sawteeth and chirps in several channels, each at a shifted phase, under noise.

    Frequency (two to five periods) and phase are random; the classes take turns. With ``unequal`` the
    lengths vary from half to all of ``length``.

    >>> made = series(8, length=20, unequal=True)
    >>> made.values.shape, bool(np.isnan(made.values[0, 0, made.lengths[0]:]).all())
    ((8, 3, 20), True)
    """
    _check(n=n, length=length - 1, channels=channels, noise=noise)
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % len(WAVES)
    lengths = rng.integers(-(-length // 2), length, n, endpoint=True) if unequal else np.full(n, length)
    time = np.arange(length) / length
    periods = rng.uniform(2, 5, (n, 1, 1))
    phase = rng.random((n, 1, 1)) + np.arange(channels)[None, :, None] / (4 * channels)
    cycles = periods * time + phase
    rising = periods * time * (0.5 + time) + phase
    waves = (
        np.sin(2 * np.pi * cycles),
        np.sign(np.sin(2 * np.pi * cycles)),
        2 * (cycles % 1) - 1,
        np.sin(2 * np.pi * rising**1.5 / periods**0.5),
    )
    values = np.choose(labels[:, None, None], waves) + noise * rng.standard_normal((n, channels, length))
    values = np.where((np.arange(length) < lengths[:, None])[:, None], values, np.nan)
    return Series(values.astype(np.float32), labels, lengths.astype(np.int64))


def _check(*, noise: float, **sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"synthetic data: {name} = {value}; give at least 1")
    if noise < 0:
        raise InputError(f"synthetic data: noise = {noise}; give 0 or more")


def read_shapes(
    *, n: int = 600, size: int = 32, generator_seed: int = 0, noise: float = 0.1, channels: int = 1
) -> Contents:
    """The source ``synthetic-shapes``: discs, squares, triangles, crosses and rings.

    Parameters
    ----------
    n : int
        How many images; the classes take turns.
    size : int
        Their side.
    generator_seed : int
        Decides place, radius, turn, brightness and noise; ``seed`` decides the splits.
    noise : float
        Standard deviation of the noise, of which the whole range is 1.
    channels : int
        Channels, each with a ground and a brightness of its own.

    Examples
    --------
    >>> read_shapes(n=10).x.shape
    (10, 1, 32, 32)
    """
    made = shapes(n, size, generator_seed, noise=noise, channels=channels)
    return Contents(x=made.images, y=made.labels, kind="image", layout="chw", names=SHAPES, where="synthetic-shapes")


def read_series(
    *,
    n: int = 400,
    length: int = 64,
    generator_seed: int = 0,
    channels: int = 3,
    noise: float = 0.1,
    unequal: bool = False,
) -> Contents:
    """The source ``synthetic-series``: sines, square waves, sawteeth and chirps.

    Parameters
    ----------
    n : int
        How many series; the classes take turns.
    length : int
        Time steps, 2 or more.
    generator_seed : int
        Decides frequency, phase, lengths and noise; ``seed`` decides the splits.
    channels : int
        Channels, each at a phase of its own.
    noise : float
        Standard deviation of the noise on waves between -1 and 1.
    unequal : bool
        Whether lengths vary from half of ``length`` to all of it.

    Examples
    --------
    >>> read_series(n=8).x.shape
    (8, 3, 64)
    """
    made = series(n, length, generator_seed, channels=channels, noise=noise, unequal=unequal)
    return Contents(x=made.values, y=made.labels, kind="series", layout="ct", names=WAVES, where="synthetic-series")
