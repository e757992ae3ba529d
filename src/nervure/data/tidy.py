"""Values that are no numbers: trailing NaN of series becomes the mask, everything else is refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nervure.data.contents import Array, chunks
from nervure.data.dataset import Kind
from nervure.errors import InputError

__all__ = ["tidy"]


def tidy(
    x: Array, kind: Kind, where: str, *, lengths: Array | None = None, mask: NDArray[np.bool_] | None = None
) -> tuple[Array, NDArray[np.bool_] | None]:
    """Samples without NaN, and the (n, time) mask of series that are not whole.

    A time step is missing when all its channels are NaN; missing steps at the end are padding and hold 0
    afterwards. The first other value that is NaN or infinite is refused. Reads ``x`` once, piece by piece;
    a copy is made only when something is padded.

    Examples
    --------
    >>> x, mask = tidy(np.array([[[1.0, np.nan]], [[2.0, 3.0]]]), "series", "two")
    >>> x[:, 0].tolist(), mask.tolist()
    ([[1.0, 0.0], [2.0, 3.0]], [[True, False], [True, True]])
    """
    if mask is not None:
        mask = np.asarray(mask)
        if kind != "series" or mask.shape != (len(x), x.shape[-1]) or mask.dtype != bool:
            raise InputError(f"{where}: a mask is a (n, time) array of True and False, for series")
    elif lengths is not None:
        mask = _from_lengths(np.asarray(lengths), x, where)
    elif kind == "series" and x.dtype.kind == "f":
        mask = _from_nan(x)
    if mask is not None and not mask.any(axis=1).all():
        raise InputError(f"{where}: series {int(np.argmin(mask.any(axis=1)))} has no values")
    if mask is not None and mask.all():
        mask = None
    if x.dtype.kind == "f":
        _check(x, mask, kind, where)
    return (x, None) if mask is None else (np.where(mask[:, None], x, np.zeros((), x.dtype)), mask)


def _from_lengths(lengths: Array, x: Array, where: str) -> NDArray[np.bool_]:
    if x.ndim != 3 or lengths.shape != (len(x),) or lengths.min() < 1 or lengths.max() > x.shape[-1]:
        raise InputError(f"{where}: lengths must be one number a series, from 1 to {x.shape[-1]}")
    steps = np.arange(x.shape[-1])
    return np.asarray(steps < lengths[:, None])


def _from_nan(x: Array) -> NDArray[np.bool_]:
    steps = x.shape[-1]
    mask = np.ones((len(x), steps), dtype=bool)
    for at, piece in chunks(x):
        there: Array = np.asarray(~np.isnan(piece).all(axis=1))
        # Steps from the end to the last that has a value are missing.
        mask[at] = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    return mask


def _check(x: Array, mask: NDArray[np.bool_] | None, kind: Kind, where: str) -> None:
    start = 0
    for at, piece in chunks(x):
        bad = ~np.isfinite(piece)
        if mask is not None:
            bad &= mask[at][:, None]
        if bad.any():
            row = int(np.argmax(bad.reshape(len(piece), -1).any(axis=1)))
            place = tuple(int(number) for number in np.argwhere(bad[row])[0])
            what = "NaN" if np.isnan(piece[row][place]) else "infinite"
            remedy = "only the end of a series may be missing; mend or leave out the others"
            if kind != "series":
                remedy = "fill it in, or leave the sample out"
            raise InputError(f"{where}: sample {start + row} is {what} at {place}; {remedy}")
        start += len(piece)
