"""From arrays to a Dataset: the one way that every source takes in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nervure.data.contents import Array, Contents, Stacked
from nervure.data.dataset import Dataset, Indices, Kind, Task
from nervure.data.fingerprint import fingerprint
from nervure.data.labels import encode
from nervure.data.layout import arrange
from nervure.data.measure import Scaling, measure
from nervure.data.series import joined
from nervure.data.splits import make_splits
from nervure.data.tidy import tidy
from nervure.errors import InputError

__all__ = ["assemble", "frame_columns", "from_arrays"]


def from_arrays(
    x: Array | Sequence[object],
    y: Array | Sequence[object] | None = None,
    *,
    names: Sequence[str] = (),
    columns: Sequence[str] = (),
    kind: Kind | None = None,
    layout: str | None = None,
    task: Task | None = None,
    mask: NDArray[np.bool_] | None = None,
    splits: Mapping[str, Indices] | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    standardize: bool | Scaling = True,
    source: str = "arrays",
) -> Dataset:
    """A Dataset of samples and labels that the caller has in memory (or memory-mapped).

    Parameters
    ----------
    x : array
        (n, height, width), (n, channels, height, width) or (n, height, width, channels) images,
        (n, channels, time) series, or (n, features) tables; ``layout`` (``"hw"``, ``"chw"``, ``"hwc"``,
        ``"t"``, ``"ct"``, ``"tc"``, ``"f"``) says which where the guess of :mod:`nervure.data.layout` is
        wrong. A list of series, (channels, time) or (time,) each, may hold unequal lengths.
    y : array or sequence, optional
        (n,) classes as integers or words, -1, ``"?"`` or None where unknown; or (n, ...) float targets.
    names : sequence of str
        What the classes 0 ... k-1 are called.
    columns : sequence of str
        What the channels, or the features of a table, are called; those of a data frame keep their names.
    mask : (n, time) bool array, optional
        True where a series has values; NaN at its end says the same.
    splits : mapping, optional
        Positions of ``"train"``, ``"validation"``, ``"test"``, or n truth values each; what is absent is cut from
        the training samples.
    validation, test : float
        Shares for these splits.
    seed : int
        Decides the splits.
    standardize : bool or str
        ``True`` or ``"standard"``: each channel is brought to mean 0 and standard deviation 1. ``"min-max"``: each
        channel (each feature of a table) to the range from 0 to 1, what lies outside being cut off. Both are
        measured on the training split. ``"each-min-max"``: every sample to that range by itself, all its channels
        together. ``False`` or ``"unit"``: none of these; whole-numbered images are still scaled to at most 1.

    Examples
    --------
    >>> ds = from_arrays(np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2)
    >>> ds.in_shape, ds.kind, ds.task, {name: len(at) for name, at in ds.splits.items()}
    ((1, 8, 8), 'image', 'classification', {'train': 14, 'validation': 2, 'test': 4})
    """
    contents = Contents(
        x=x if isinstance(x, Stacked) else joined(x, source),
        y=y if y is None or isinstance(y, np.ndarray) else np.asarray(y, dtype=object if isinstance(y, list) else None),
        kind=kind,
        layout=layout,
        task=task,
        names=names,
        columns=tuple(columns) or (frame_columns(x) if kind in (None, "table") and layout in (None, "f") else ()),
        splits=splits or {},
        where=source,
    )
    return assemble(
        contents,
        validation=validation,
        test=test,
        seed=seed,
        standardize=standardize,
        mask=mask,
        source=source,
    )


def assemble(
    contents: Contents,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    standardize: bool | Scaling = True,
    mask: NDArray[np.bool_] | None = None,
    source: str = "arrays",
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Check, arrange, split and measure what a reader gave.

    >>> assemble(Contents(x=np.zeros((4, 6)), y=np.array([0, 1, 0, 1]))).task
    'classification'
    """
    where = contents.where
    x, kind = arrange(contents.x, contents.kind, contents.layout, where)
    y, names, task = encode(contents.y, len(x), contents.names, contents.task, where)
    x, mask = tidy(x, kind, where, lengths=contents.lengths, mask=mask)
    columns = tuple(map(str, contents.columns))
    if columns and len(columns) != x.shape[1]:
        raise InputError(f"{where}: {len(columns)} columns are named for {x.shape[1]}; give one name each, or none")
    splits = make_splits(
        len(x),
        y if task == "classification" else None,
        contents.splits,
        validation=validation,
        test=test,
        seed=seed,
        gap=contents.gap,
        where=where,
    )
    preprocessing = measure(
        x, kind, splits["train"], mask=mask, scale=contents.scale, standardize=standardize, where=where
    )
    return Dataset(
        x,
        y,
        kind,
        task,
        names=names,
        splits=splits,
        mask=mask,
        preprocessing=preprocessing,
        source=source,
        options=dict(options or {}),
        fingerprint=fingerprint(x, y, mask, splits),
        items=tuple(contents.items),
        columns=columns,
    )


def frame_columns(x: object) -> tuple[str, ...]:
    """The names of a data frame's columns, where all of them are words; nothing of what has none.

    >>> frame_columns(np.eye(2))
    ()
    """
    names = tuple(getattr(x, "columns", ()))
    return names if all(isinstance(name, str) for name in names) else ()
