"""Random numbers from counters: a draw depends on a key and a position, never on earlier draws.

The generator is SplitMix64 (Steele, Lea and Flood, 2014): a state advanced by the golden ratio, and a mixing
function. The same integers come out of numpy and torch, on any device, in any batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["key", "mix", "normal", "order", "uniform"]

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_ALL = (1 << 64) - 1


def _mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * _FIRST) & _ALL
    word = ((word ^ (word >> 27)) * _SECOND) & _ALL
    return word ^ (word >> 31)


def key(*words: int) -> int:
    """One 64-bit key of several integers; another order of them is another key.

    >>> key(0, 1) != key(1, 0)
    True
    """
    state = 0
    for word in words:
        state = _mix((state + (word & _ALL) + _GOLDEN) & _ALL)
    return state


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's mixing function on unsigned 64-bit words.

    >>> int(mix(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]) == 0xE220A8397B1DCDAF
    True
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
    return words ^ (words >> np.uint64(31))


def order(n: int, *words: int) -> NDArray[np.int64]:
    """A random order of ``range(n)`` that depends on ``words`` alone: (n,) int64.

    >>> sorted(order(5, 0, 1).tolist())
    [0, 1, 2, 3, 4]
    """
    keys = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(key(*words))
    return np.argsort(mix(keys), kind="stable").astype(np.int64)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _mix_(words: Tensor) -> Tensor:
    """The mixing function in place on int64, whose products wrap as unsigned ones do."""
    for shift, factor in ((30, _FIRST), (27, _SECOND), (31, None)):
        # An int64 shift copies the sign down; the mask makes it the shift of an unsigned word.
        words.bitwise_xor_(words.bitwise_right_shift(shift).bitwise_and_((1 << (64 - shift)) - 1))
        if factor is not None:
            words.mul_(_signed(factor))
    return words


def _words(index: Tensor, seed: int, count: int) -> Tensor:
    """(n, count) int64 words: row i is the SplitMix64 stream of sample ``index[i]`` under ``seed``."""
    start = _mix_(index.to(torch.int64).mul(_signed(_GOLDEN)).add_(_signed(seed)))
    steps = torch.arange(1, count + 1, dtype=torch.int64, device=index.device).mul_(_signed(_GOLDEN))
    return _mix_(start[:, None] + steps)


def uniform(index: Tensor, seed: int, count: int) -> Tensor:
    """(n, count) float32 in [0, 1): row i belongs to sample ``index[i]``, whatever the other rows are.

    >>> one = uniform(torch.tensor([3, 8]), key(0, 1), 2)
    >>> bool((one[1] == uniform(torch.tensor([8]), key(0, 1), 2)[0]).all())
    True
    """
    top = _words(index, seed, count).bitwise_right_shift_(40).bitwise_and_((1 << 24) - 1)
    return top.to(torch.float32).mul_(2.0**-24)


def normal(index: Tensor, seed: int, count: int) -> Tensor:
    """(n, count) float32 standard normal values, rows as in :func:`uniform`.

    Box-Muller on two parts of each word.

    >>> normal(torch.arange(2), key(0), 3).shape
    torch.Size([2, 3])
    """
    words = _words(index, seed, (count + 1) // 2)
    low = words.bitwise_and((1 << 24) - 1).to(torch.float32).mul_(2.0**-24 * 2 * math.pi)
    high = words.bitwise_right_shift_(40).bitwise_and_((1 << 24) - 1).to(torch.float32).add_(0.5).mul_(2.0**-24)
    radius = high.log_().mul_(-2).sqrt_()
    return torch.cat([radius * low.cos(), radius * low.sin()], dim=1)[:, :count]
