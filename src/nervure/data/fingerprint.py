"""A digest of values, labels and splits: whether two data sets are the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nervure.data.contents import Array, Stacked
from nervure.data.dataset import Indices, hash_arrays

__all__ = ["WHOLE_BYTES", "fingerprint"]

WHOLE_BYTES = 1 << 28
"""Memory-mapped values up to this size (256 MiB) are read whole; of larger ones, a regular sample."""

SAMPLES = 1024


def fingerprint(x: Array, y: Array | None, mask: NDArray[np.bool_] | None, splits: Mapping[str, Indices]) -> str:
    """SHA-256 over values, labels, mask and splits.

    Of memory-mapped values (or overlapping windows of a series) larger than 256 MiB: the number type, the
    shape, the size, and 1024 samples at equal distances, the first and the last among them.

    >>> one = fingerprint(np.zeros((2, 3)), None, None, {})
    >>> one == fingerprint(np.ones((2, 3)), None, None, {})
    False
    """
    names = np.frombuffer(",".join(splits).encode() or b"-", dtype=np.uint8)
    return hash_arrays(*_values(x), y, mask, names, *splits.values())


def _values(x: Array) -> tuple[Array, ...]:
    if x.nbytes <= WHOLE_BYTES or not (isinstance(x, np.memmap | Stacked) or _overlaps(x)):
        return (x,)
    at = np.unique(np.linspace(0, len(x) - 1, SAMPLES).round().astype(np.int64))
    header = f"{x.dtype.str}{tuple(x.shape)}{x.nbytes}".encode()
    return np.frombuffer(header, dtype=np.uint8), x[at]


def _overlaps(x: Array) -> bool:
    """Whether rows share memory, as windows over one series do."""
    span = sum((size - 1) * abs(stride) for size, stride in zip(x.shape, x.strides, strict=True))
    return bool(span + x.dtype.itemsize < x.nbytes)
