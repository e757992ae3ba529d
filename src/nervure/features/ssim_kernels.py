"""SSIM of many images with many, compiled for the CPU: all that is written for a pair is its result.

Only imported where numba is used. Windows of up to nine values, float32 with float64 totals. The arithmetic
is symmetric in its two images, so a matrix is symmetric to the last bit, and what one pair gives does not
depend on which others were asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.features.jitted import jitted
from nervure.features.ssim import _constants

__all__ = ["describe", "pack", "summed"]

Array = NDArray[Any]

MEAN, SQUARE, VARIANCE, WIDTH = 9, 10, 11, 12  # what follows a window's nine values
LANES = 64  # images side by side
BLOCK = 16  # windows at a time: those of 64 images stay in the nearest caches


@jitted(nogil=True, error_model="numpy", fastmath={"contract"})
def _describe(grid: Array, scale: Any, c1: Any, c2: Any, first: int, stride: int, found: Array) -> None:
    n, down, across, height, width = grid.shape
    size = height * width
    for i in range(first, n, stride):
        for a in range(down):
            for b in range(across):
                window = found[i, a * across + b]
                total = np.float32(0)
                for u in range(height):
                    for v in range(width):
                        value = grid[i, a, b, u, v]
                        window[u * width + v] = value
                        total += value
                mean = total / np.float32(size)
                variance = c2
                for t in range(size):
                    window[t] = (window[t] - mean) * scale
                    variance += window[t] * window[t]
                window[MEAN] = mean
                window[SQUARE] = mean * mean + c1
                window[VARIANCE] = variance


@jitted(nogil=True)
def _pack(rows: Array, first: int, stride: int, packed: Array) -> None:
    n, windows, _ = rows.shape
    tiles = packed.shape[0]
    for p in range(first, windows, stride):
        for tile in range(tiles):
            for j in range(min(LANES, n - tile * LANES)):
                row = rows[tile * LANES + j, p]
                for t in range(WIDTH):
                    packed[tile, p, t, j] = row[t]


# Contraction alone: reassociation would make a lane's result depend on its place. Two rows at a time halve what
# is read; a last odd row is its own neighbour.
@jitted(nogil=True, error_model="numpy", fastmath={"contract"})
def _sum_windows(x: Array, y: Array, c1: Any, c2: Any, first: int, stride: int, symmetric: bool, total: Array) -> None:
    rows, windows, _ = x.shape
    partial = np.empty((2, LANES), np.float32)
    for tile in range(y.shape[0]):
        begin_lane = tile * LANES
        last = min(rows, begin_lane + LANES) if symmetric else rows
        for begin in range(0, windows, BLOCK):
            for i in range(2 * first, last, 2 * stride):
                other = min(i + 1, rows - 1)
                partial[:] = 0
                for p in range(begin, min(begin + BLOCK, windows)):
                    u, v, z = x[i, p], x[other, p], y[tile, p]
                    u0, u1, u2, u3, u4, u5, u6, u7, u8 = u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8]
                    v0, v1, v2, v3, v4, v5, v6, v7, v8 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]
                    u_mean, u_square, u_variance = u[MEAN], u[SQUARE], u[VARIANCE]
                    v_mean, v_square, v_variance = v[MEAN], v[SQUARE], v[VARIANCE]
                    for j in range(LANES):
                        z0, z1, z2, z3, z4 = z[0, j], z[1, j], z[2, j], z[3, j], z[4, j]
                        z5, z6, z7, z8 = z[5, j], z[6, j], z[7, j], z[8, j]
                        product = (
                            c2 + u0 * z0 + u1 * z1 + u2 * z2 + u3 * z3 + u4 * z4 + u5 * z5 + u6 * z6 + u7 * z7 + u8 * z8
                        )
                        below = (u_square + z[SQUARE, j]) * (u_variance + z[VARIANCE, j])
                        partial[0, j] += (c1 + u_mean * z[MEAN, j]) * product / below
                        product = (
                            c2 + v0 * z0 + v1 * z1 + v2 * z2 + v3 * z3 + v4 * z4 + v5 * z5 + v6 * z6 + v7 * z7 + v8 * z8
                        )
                        below = (v_square + z[SQUARE, j]) * (v_variance + z[VARIANCE, j])
                        partial[1, j] += (c1 + v_mean * z[MEAN, j]) * product / below
                for j in range(LANES):
                    total[i, begin_lane + j] += partial[0, j]
                if other > i:
                    for j in range(LANES):
                        total[other, begin_lane + j] += partial[1, j]


def describe(grid: Tensor, data_range: float, *, sample: bool) -> Array:
    """Of each window: deviations, the mean, its square, and the variance; half of SSIM's constants added.

    Parameters
    ----------
    grid : Tensor, (n, down, across, height, width)
        Windows of n images, each of up to nine values; a view will do.
    data_range : float
    sample : bool
        Sample or population moments.

    Returns
    -------
    array, (n, down * across, 12)

    Examples
    --------
    >>> describe(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2, 1), 2.0, sample=True)[0, 0, [9, 10, 11]].round(2)
    array([2., 4., 2.], dtype=float32)
    """
    n, down, across, height, width = grid.shape
    found = np.zeros((n, down * across, WIDTH), np.float32)
    values = grid.detach().float().numpy()
    free = height * width - int(sample)
    scale = np.float32(free**-0.5 if free else 1.0)
    c1, c2 = _halves(data_range)
    _share(n, lambda first, stride: _describe(values, scale, c1, c2, first, stride, found))
    return found


def pack(rows: Array) -> Array:
    """The same windows, 64 images side by side: (tiles, windows, 12, 64), the last tile filled up with zeros.

    >>> pack(np.zeros((5, 7, 12), np.float32)).shape
    (1, 7, 12, 64)
    """
    n, windows, _ = rows.shape
    packed = np.zeros((-(-n // LANES), windows, WIDTH, LANES), np.float32)
    _share(windows, lambda first, stride: _pack(rows, first, stride, packed))
    return packed


def summed(rows: Array, lanes: Array, data_range: float, *, symmetric: bool = False) -> Tensor:
    """SSIM summed over windows.

    Parameters
    ----------
    rows : array, (k, windows, 12)
        Of k images, from :func:`describe`.
    lanes : array, (tiles, windows, 12, 64)
        Of the images to compare with, from :func:`pack`.
    data_range : float
    symmetric : bool
        ``rows`` and ``lanes`` are of the same images: only what is on and above the diagonal is computed.

    Returns
    -------
    Tensor, (k, tiles * 64)
        float64; meaningless where ``lanes`` was filled up. Uses as many threads as torch.

    Examples
    --------
    >>> rows = describe(torch.arange(18.0).reshape(2, 1, 1, 3, 3), 17.0, sample=True)
    >>> summed(rows, pack(rows), 17.0)[:, :2].diagonal().round(decimals=5)
    tensor([1., 1.], dtype=torch.float64)
    """
    c1, c2 = _halves(data_range)
    total = np.zeros((len(rows), lanes.shape[0] * LANES))
    _share(len(rows), lambda first, stride: _sum_windows(rows, lanes, c1, c2, first, stride, symmetric, total))
    total *= 4  # a factor of 2 was left out of either bracket above the line
    return torch.from_numpy(total)


def _halves(data_range: float) -> tuple[Any, Any]:
    c1, c2 = _constants(data_range)
    return np.float32(c1 / 2), np.float32(c2 / 2)


def _share(count: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(first, stride)`` in as many threads as torch uses; each takes every stride-th item."""
    workers = max(1, min(torch.get_num_threads(), count))
    if workers == 1:
        work(0, 1)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers), [workers] * workers))
