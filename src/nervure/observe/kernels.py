"""The same reading compiled for the CPU: each activation is fetched from memory once.

Only imported where numba is installed. Sums may be reordered, so they agree with the plain form to 1e-12 of
the sum of magnitudes; counts agree exactly. NaN and infinity are kept apart before anything is binned.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import numba
import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from nervure.features.jitted import jitted
from nervure.observe.grid import FINEST, RESOLUTION, Grid
from nervure.observe.totals import Totals

__all__ = ["LOCK", "launched", "summarise", "usable"]

Array = NDArray[Any]

BLOCK = 2048  # positions at a time: read from memory once, then from the first-level cache
PARTS = 32  # of the units, each read by one thread with one set of scratch space
LOCK = threading.Lock()  # numba's simplest threading layer must not be entered twice
_HOME = os.getpid()


@jitted(fastmath={"reassoc", "contract"})
def _sums(block: Array, centre: float) -> tuple[float, float, float]:
    away, absolute, squares = 0.0, 0.0, 0.0
    for i in range(block.size):
        value = np.float64(block[i])
        distance = value - centre
        away += distance
        absolute += abs(value)
        squares += distance * distance
    return away, absolute, squares


@jitted()
def _extremes(block: Array) -> tuple[float, float]:
    """The bits of numbers, those of negative ones turned, have the numbers' order: whole numbers vectorise."""
    if block.itemsize == 4:
        bits = block.view(np.int32)
        lowest, highest = np.int32(2**31 - 1), np.int32(-(2**31))
        for i in range(bits.size):
            turned = bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(2**31 - 1))
            lowest = min(lowest, turned)
            highest = max(highest, turned)
        ends = np.array([lowest, highest], np.int32)
        for i in range(2):
            ends[i] ^= (ends[i] >> np.int32(31)) & np.int32(2**31 - 1)
        found = ends.view(np.float32)
        return np.float64(found[0]), np.float64(found[1])
    low = np.float64(block[0])
    high = low
    for i in range(block.size):
        low = min(low, np.float64(block[i]))
        high = max(high, np.float64(block[i]))
    return low, high


@jitted(fastmath={"reassoc", "contract"})
def _gather(plane: Array, centre: float, held: Array) -> float:
    away = 0.0
    for i in range(plane.size):
        held[i] = plane[i]
        away += np.float64(plane[i]) - centre
    return away


@jitted()
def _zeros(block: Array) -> tuple[Any, Any]:
    zeros = np.int32(0)
    nonpositive = np.int32(0)
    for i in range(block.size):
        zeros += np.int32(block[i] == 0)
        nonpositive += np.int32(block[i] <= 0)
    return zeros, nonpositive


@jitted()
def _places(block: Array, scale: float, first: Any, last: Any, places: Array) -> None:
    """A tiny negative value may vanish where it is scaled: it still lies no higher than ``last``."""
    for i in range(block.size):
        places[i] = min(np.int32(np.floor(block[i] * scale)), last) - first


@jitted()
def _magnitude(value: float) -> int:
    return math.frexp(value)[1] - 1 if value > 0 else -1022


@jitted()
def _canonical(low: float, high: float, bins: int) -> tuple[int, int]:
    exponent = max(_magnitude(max(abs(low), abs(high))) - RESOLUTION, FINEST, _magnitude((high - low) / bins) - 1)
    for _ in range(4):
        width = math.ldexp(1.0, exponent)
        if math.floor(high / width) - math.floor(low / width) >= bins:
            exponent += 1
    return exponent, math.floor(low / math.ldexp(1.0, exponent))


@jitted()
def _rebin(counts: Array, shift: int, first: int, new_first: int) -> None:
    moved = np.zeros_like(counts)
    for b in range(counts.size):
        if counts[b]:
            moved[((first + b) >> min(shift, 62)) - new_first] += counts[b]
    counts[:] = moved


@jitted()
def _make_room(j: int, low: float, high: float, exponent: Array, first: Array, counts: Array) -> None:
    new_exponent, new_first = _canonical(low, high, counts.shape[1])
    if new_exponent != exponent[j] or new_first != first[j]:
        _rebin(counts[j], new_exponent - exponent[j], first[j], new_first)
        exponent[j] = new_exponent
        first[j] = new_first


@jitted(parallel=True)
def _summarise(
    values: Array, real: Array, whole: Array, means: Array,
    low: Array, high: Array, exponent: Array, first: Array, counts: Array,
) -> None:  # fmt: skip
    n, units, positions = values.shape
    bins = counts.shape[1]
    # small maps are read together, for a block costs as much as many positions
    together = max(1, BLOCK // positions)
    parts = min(units, PARTS)
    for part in prange(parts):
        places = np.empty(BLOCK, np.int32)
        held = np.empty(together * positions if together > 1 else 0, values.dtype)
        scale = np.empty(1, values.dtype)
        for j in range(part * units // parts, (part + 1) * units // parts):
            scale[0] = math.ldexp(1.0, -exponent[j])
            start = min(positions, BLOCK)
            centre = _sums(values[0, j, :start], 0.0)[0] / start
            total, magnitude, squared = 0.0, 0.0, 0.0
            zeros, nonpositive = 0, 0
            for i in range(0, n, together):
                images = min(together, n - i)
                if together > 1:
                    for k in range(images):
                        plane = _gather(values[i + k, j], centre, held[k * positions : (k + 1) * positions])
                        means[i + k, j] = plane / positions + centre
                    read = held[: images * positions]
                else:
                    read = values[i, j]
                summed = 0.0
                for begin in range(0, read.size, BLOCK):
                    block = read[begin : min(begin + BLOCK, read.size)]
                    away, absolute, squares = _sums(block, centre)
                    summed += away
                    magnitude += absolute
                    squared += squares
                    if not squares < np.inf:
                        continue
                    zero, below = _zeros(block)
                    zeros += zero
                    nonpositive += below
                    bottom, top = _extremes(block)
                    if bottom < low[j] or top > high[j]:
                        low[j] = min(low[j], bottom)
                        high[j] = max(high[j], top)
                        if bins:
                            _make_room(j, low[j], high[j], exponent, first, counts)
                            scale[0] = math.ldexp(1.0, -exponent[j])
                    if bins:
                        last = np.int32(math.floor(math.ldexp(high[j], -exponent[j])))
                        _places(block, scale[0], np.int32(first[j]), last, places)
                        for k in range(block.size):
                            counts[j, places[k]] += 1
                if together == 1:
                    means[i, j] = summed / positions + centre
                total += summed
            real[0, j] = total + centre * (n * positions)
            real[1, j] = max(squared - total * total / (n * positions), 0.0) if squared < np.inf else squared
            real[2, j] = magnitude
            whole[0, j] = zeros
            whole[1, j] = nonpositive


def launched() -> int:
    """Threads that numba holds ready: no more than these can be set."""
    return int(vars(numba.config)["NUMBA_NUM_THREADS"])


def usable(values: Tensor) -> bool:
    """Whether the compiled form takes ``values``: on the CPU, not in a fork of the process."""
    return values.device.type == "cpu" and os.getpid() == _HOME


def summarise(values: Tensor, grid: Grid | None = None) -> tuple[Totals, Tensor]:
    """As :func:`nervure.observe.plain.summarise`; uses as many threads as torch.

    >>> totals, means = summarise(torch.tensor([[[1.0, 3.0]], [[0.0, 2.0]]]))
    >>> totals.total, means.flatten()
    (tensor([6.], dtype=torch.float64), tensor([2., 1.]))
    """
    n, units, positions = values.shape
    grid = Grid.empty(units, 0) if grid is None else grid
    real, whole = np.empty((3, units)), np.empty((2, units), np.int64)
    means = torch.empty(n, units, dtype=torch.float32)
    places = (grid.low, grid.high, grid.exponent, grid.first, grid.counts)
    with LOCK:
        before, threads = numba.get_num_threads(), torch.get_num_threads()
        numba.set_num_threads(max(1, min(threads, launched())))
        try:
            _summarise(values.numpy(), real, whole, means.numpy(), *(part.numpy() for part in places))
        finally:
            numba.set_num_threads(before)
            # numba and torch may share one OpenMP runtime, whose number of threads numba changes.
            torch.set_num_threads(threads)
    total, squares, absolute = torch.from_numpy(real)
    zeros, nonpositive = torch.from_numpy(whole)
    # The extremes are those of all that the grid has seen; joined with earlier totals that is the same.
    low, high = grid.low.clone(), grid.high.clone()
    return Totals(n, n * positions, total, squares, absolute, low, high, zeros, nonpositive), means
