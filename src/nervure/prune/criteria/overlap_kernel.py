"""Overlap compiled for the CPU: no interpolated map is ever written to memory whole.

Only imported where numba is installed. The arithmetic is that of torch's own bilinear interpolation, in the same
order and precision: along rows first, then between two rows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from nervure.features.jitted import jitted
from nervure.observe.kernels import LOCK, launched, usable

__all__ = ["overlaps", "usable"]

Array = NDArray[Any]


def places(small: int, large: int, kind: type[np.floating[Any]]) -> tuple[Array, Array, Array, Array]:
    """For each of ``large`` pixels: its two neighbours among ``small`` ones, and their weights.

    >>> places(2, 4, np.float32)[0].tolist(), places(2, 4, np.float32)[3].tolist()
    ([0, 0, 0, 1], [0.0, 0.25, 0.75, 0.25])
    """
    scale = kind(small) / kind(large)
    source = np.maximum(scale * (np.arange(large).astype(kind) + kind(0.5)) - kind(0.5), kind(0))
    first = np.minimum(source.astype(np.int64), small - 1)
    second = np.minimum(first + 1, small - 1)
    behind = np.clip(source - first.astype(kind), kind(0), kind(1)).astype(kind)
    return first, second, (kind(1) - behind).astype(kind), behind


@jitted()
def _count_row(upper: Array, lower: Array, above: Any, below: Any, threshold: Any, mask: Array) -> tuple[Any, Any]:
    on = np.int32(0)
    both = np.int32(0)
    for x in range(upper.size):
        bright = np.int32(upper[x] * above + lower[x] * below > threshold)
        on += bright
        both += bright & mask[x]
    return both, on


@jitted()
def _count_plain(row: Array, threshold: Any, mask: Array) -> tuple[Any, Any]:
    on = np.int32(0)
    both = np.int32(0)
    for x in range(row.size):
        bright = np.int32(row[x] > threshold)
        on += bright
        both += bright & mask[x]
    return both, on


@jitted(fastmath={"reassoc", "contract", "nsz"})
def _sum_and_largest(block: Array) -> tuple[Any, Any]:
    total = 0.0
    largest = block[0]
    for x in range(block.size):
        total += block[x]
        largest = max(largest, block[x])
    return total, largest


@jitted(parallel=True)
def _overlaps(
    maps: Array, thresholds: Array, mask: Array, same: bool,
    y0: Array, y1: Array, up: Array, down: Array, x0: Array, x1: Array, left: Array, right: Array,
    both: Array, on: Array, means: Array,
) -> None:  # fmt: skip
    n, channels, height = maps.shape[:3]
    for j in prange(channels):
        wide = np.empty((height, mask.shape[2]), maps.dtype)
        for i in range(n):
            threshold = thresholds[i, j]
            shared, lit = 0, 0
            total, largest = _sum_and_largest(maps[i, j].reshape(height * maps.shape[3]))
            if same:
                for y in range(height):
                    b, o = _count_plain(maps[i, j, y], threshold, mask[i, y])
                    shared += b
                    lit += o
            elif largest > threshold:
                for y in range(height):
                    for x in range(wide.shape[1]):
                        wide[y, x] = maps[i, j, y, x0[x]] * left[x] + maps[i, j, y, x1[x]] * right[x]
                for y in range(mask.shape[1]):
                    b, o = _count_row(wide[y0[y]], wide[y1[y]], up[y], down[y], threshold, mask[i, y])
                    shared += b
                    lit += o
            both[i, j] = shared
            on[i, j] = lit
            means[i, j] = total / (height * maps.shape[3])


def overlaps(maps: Tensor, thresholds: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`nervure.prune.criteria.overlap.overlaps`; uses as many threads as torch.

    >>> maps = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    >>> overlaps(maps, torch.tensor([[0.5]]), torch.eye(2, dtype=torch.bool)[None])
    (tensor([[1]]), tensor([[3]]), tensor([[1.5000]], dtype=torch.float64))
    """
    values = maps.contiguous().numpy()
    lit = mask.to(torch.int32).contiguous().numpy()
    kind = np.float64 if maps.dtype == torch.float64 else np.float32
    down = places(values.shape[2], lit.shape[1], kind)
    across = places(values.shape[3], lit.shape[2], kind)
    both, on, means = (np.zeros(values.shape[:2], kind) for kind in (np.int64, np.int64, np.float64))
    levels = thresholds.contiguous().numpy()
    with LOCK:
        before, threads = numba.get_num_threads(), torch.get_num_threads()
        numba.set_num_threads(max(1, min(threads, launched())))
        try:
            _overlaps(values, levels, lit, values.shape[2:] == lit.shape[1:], *down, *across, both, on, means)
        finally:
            numba.set_num_threads(before)
            # numba and torch may share one OpenMP runtime, whose number of threads numba changes.
            torch.set_num_threads(threads)
    return torch.from_numpy(both), torch.from_numpy(on), torch.from_numpy(means)
