"""Contents: what a source holds, as it was read, before it becomes a Dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nervure.data.dataset import Indices, Kind, Task
from nervure.errors import InputError

__all__ = ["Array", "Contents", "Stacked", "chunks", "join", "ranges"]

Array = NDArray[Any]

JOIN_BYTES = 1 << 30
"""Memory-mapped parts up to this size together are joined in memory; larger ones stay on disk."""

CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """What the reader of a source gives; :func:`nervure.data.load` makes a Dataset of it.

    Parameters
    ----------
    x : array
        (n, ...) samples in any layout; series of unequal length end in NaN.
    y : array, optional
        (n,) class numbers, -1 where unknown, or class names (``"?"`` where unknown, ``"-1"`` too as
        :func:`nervure.data.labels.settled` says); or (n, ...) float targets.
    kind, layout, task, scale : optional
        What the reader knows; the rest is guessed or measured.
    names : sequence of str
        Class names: those that numbers in ``y`` stand for, or those that may occur.
    splits : mapping
        Splits that the source itself gives, as positions.
    lengths : (n,) int array, optional
        Number of time steps of each series, where the source states it.
    gap : int, optional
        For samples in order of time: how many to leave out between splits, so that they share no time step.
    items : sequence of str
        What each sample is called in the source, such as a file's name.
    columns : sequence of str
        What each channel, or each feature of a table, is called in the source.
    where : str
        The source, for messages.

    Examples
    --------
    >>> Contents(x=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 0, 1]), where="four").y.tolist()
    [0, 1, 0, 1]
    """

    x: Array
    y: Array | None = None
    kind: Kind | None = None
    layout: str | None = None
    task: Task | None = None
    scale: float | None = None
    names: Sequence[str] = ()
    splits: Mapping[str, Indices] = field(default_factory=dict)
    lengths: Array | None = None
    gap: int | None = None
    items: Sequence[str] = ()
    columns: Sequence[str] = ()
    where: str = "arrays"


class Stacked:
    """Several mapped arrays one after another, read like one array, without being joined in memory.

    Only what a Dataset needs: length, shape, number type, and rows by slice, number or positions.

    >>> both = Stacked([np.zeros((2, 3)), np.ones((2, 3))])
    >>> both[np.array([3, 0])][:, 0].tolist(), both[1:3].shape
    ([1.0, 0.0], (2, 3))
    """

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype
        self.ndim = parts[0].ndim
        self.nbytes = sum(part.nbytes for part in parts)
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, at: int | slice | Array) -> Array:
        if isinstance(at, slice):
            return self[np.arange(len(self))[at]]
        rows = np.asarray(at)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        flat = np.atleast_1d(np.where(rows < 0, rows + len(self), rows))
        found = np.empty((len(flat), *self.shape[1:]), self.dtype)
        owner = np.searchsorted(self._starts, flat, side="right") - 1
        for number, part in enumerate(self.parts):
            mine = owner == number
            if mine.any():
                found[mine] = part[flat[mine] - self._starts[number]]
        return found if rows.ndim else cast(Array, found[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.concatenate(self.parts).astype(dtype or self.dtype, copy=False)


def join(parts: Sequence[Array], where: str) -> Array:
    """One array of the parts of a source: as it is, joined in memory, or read in place when mapped and large.

    >>> join([np.zeros((2, 3)), np.zeros((4, 3))], "here").shape
    (6, 3)
    """
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        found = " and ".join(str(shape) for shape in sorted(shapes))
        raise InputError(f"{where}: its splits hold samples of unlike shapes, {found}; give them one shape")
    if len(parts) == 1:
        return parts[0]
    large = sum(part.nbytes for part in parts) > JOIN_BYTES
    if large and all(isinstance(part, np.memmap) for part in parts) and len({part.dtype for part in parts}) == 1:
        return cast(Array, Stacked(parts))
    return np.concatenate(parts)


def ranges(sizes: Mapping[str, int]) -> dict[str, Indices]:
    """Splits that follow one another, from their sizes; none when there is only one unnamed piece.

    >>> {name: where.tolist() for name, where in ranges({"train": 2, "test": 1}).items()}
    {'train': [0, 1], 'test': [2]}
    """
    splits: dict[str, Indices] = {}
    start = 0
    for name, size in sizes.items():
        splits[name] = np.arange(start, start + size, dtype=np.int64)
        start += size
    return {} if set(splits) <= {"", "train"} else splits


def chunks(x: Array, indices: Indices | None = None) -> Iterator[tuple[Any, Array]]:
    """Pieces of about 16 MiB of ``x`` (or of its rows at ``indices``), each with the positions of its rows.

    >>> [rows.shape for _, rows in chunks(np.zeros((3, 2)))]
    [(3, 2)]
    """
    total = len(x) if indices is None else len(indices)
    width = max(1, int(np.prod(x.shape[1:])) * x.dtype.itemsize)
    step = max(1, CHUNK_BYTES // width)
    for start in range(0, total, step):
        at = slice(start, min(start + step, total)) if indices is None else indices[start : start + step]
        yield at, x[at]
