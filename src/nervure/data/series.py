"""What the text formats share: lines, numbers, the test file beside a training file, padding."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from nervure.data.contents import Array, Contents, chunks, ranges
from nervure.data.dataset import Task
from nervure.errors import InputError

__all__ = ["Cases", "classes", "joined", "narrowed", "numbers", "pad", "read_lines", "read_pair", "read_text"]

MISSING = frozenset({"", "?", "nan", "na", "null"})

WHOLE = 1 << 24
"""Up to here float32 holds every whole number."""

LONGEST = 200
"""Characters of a label, at most: an array of words gives every one the room of the longest."""


class Cases(NamedTuple):
    """The series of one file: each (channels, time) with NaN where missing; labels; and what they may be."""

    series: list[Array]
    labels: list[str] | None
    names: Sequence[str]
    task: Task | None


def read_text(path: Path) -> str:
    """What a text file holds, plain or gzipped, with its line ends as they are.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_bytes(b"one\\r\\ntwo")
    ...     read_text(Path(folder) / "a.txt")
    'one\\r\\ntwo'
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, plain or gzipped.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_text("one\\ntwo")
    ...     read_lines(Path(folder) / "a.txt")
    ['one', 'two']
    """
    return [line.rstrip("\n") for line in io.StringIO(read_text(path), newline=None)]


def narrowed(values: Array) -> Array:
    """Numbers as float32; as float64 where one beyond 2**24 is none of float32's, so that whole numbers stay apart.

    >>> narrowed(np.array([0.1, 5])).dtype, narrowed(np.array([1_000_000_001])).dtype
    (dtype('float32'), dtype('float64'))
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32, copy=False)
    if narrow is values or not any(_moves(one, narrow[at]) for at, one in chunks(values)):
        return narrow
    return np.where(np.isinf(narrow), narrow, values.astype(np.float64, copy=False))


def _moves(values: Array, narrow: Array) -> bool:
    """Whether a number beyond 2**24 is another in float32, and not an infinite one."""
    return bool(((np.abs(values) > WHOLE) & (values != narrow) & np.isfinite(narrow)).any())


def numbers(words: Sequence[str], where: str) -> Array:
    """Words to numbers, of the type that :func:`narrowed` gives them; empty, ``?`` and ``nan`` are NaN.

    >>> numbers(["1", " 2.5", "?"], "here").tolist()
    [1.0, 2.5, nan]
    """
    try:
        return narrowed(np.array(words, dtype=object).astype(np.float64))
    except ValueError:
        pass
    values = np.empty(len(words), dtype=np.float64)
    for place, word in enumerate(words):
        try:
            values[place] = np.nan if word.strip().lower() in MISSING else float(word)
        except ValueError:
            raise InputError(f"{where}: {word.strip()!r} is not a number") from None
    return narrowed(values)


def classes(words: Sequence[str], where: str) -> Array:
    """Classes as a file spells them, as an array of words.

    >>> classes(["up", "?"], "here").tolist()
    ['up', '?']
    """
    longest = max(words, key=len, default="")
    if len(longest) > LONGEST:
        raise InputError(
            f"{where}: a label has {len(longest)} characters ({longest[:20]!r}...), more than {LONGEST}; shorten it, "
            "or if this is no label leave it out"
        )
    return np.array(words, dtype=np.str_)


def pad(series: Sequence[Array], where: str) -> Array:
    """Series of unequal length as one (n, channels, time) array that ends in NaN.

    >>> pad([np.ones((1, 1)), np.ones((1, 2))], "two")[:, 0].tolist()
    [[1.0, nan], [1.0, 1.0]]
    """
    if not series:
        raise InputError(f"{where}: holds no samples")
    channels = len(series[0])
    steps = max(one.shape[1] for one in series)
    wide = any(one.dtype == np.float64 for one in series)
    x = np.full((len(series), channels, steps), np.nan, dtype=np.float64 if wide else np.float32)
    for number, one in enumerate(series):
        if len(one) != channels:
            raise InputError(f"{where}: series {number} has {len(one)} channels where the first has {channels}")
        x[number, :, : one.shape[1]] = one
    return x


def joined(x: ArrayLike | Sequence[object], where: str) -> Array:
    """Samples as one array; a list of series of unequal length, (channels, time) or (time,) each, ends in NaN.

    >>> joined([[1.0, 2.0], [3.0]], "two").tolist()
    [[[1.0, 2.0]], [[3.0, nan]]]
    """
    try:
        found = np.asarray(cast(ArrayLike, x))
        if found.dtype.kind != "O" or found.ndim > 1:
            return found
    except ValueError:  # of unequal lengths
        pass
    try:
        series = [narrowed(np.atleast_2d(np.asarray(one, dtype=np.float64))) for one in cast(Sequence[ArrayLike], x)]
    except (TypeError, ValueError):
        raise InputError(f"{where}: samples do not make one array; give numbers, (channels, time) for each") from None
    if any(one.ndim != 2 for one in series):
        raise InputError(f"{where}: samples differ in shape; only series, (channels, time) each, may differ in length")
    return pad(series, where)


def read_pair(path: Path, parse: Callable[[Path], Cases]) -> Contents:
    """The series of a file; of ``*_TRAIN`` also those of the ``*_TEST`` that lies beside it.

    >>> read_pair(Path("a.ts"), lambda path: Cases([np.ones((1, 2))], ["up"], (), None)).y.tolist()
    ['up']
    """
    pieces = {"": path}
    for train, test in (("_TRAIN", "_TEST"), ("_train", "_test")):
        other = path.with_name(path.name.replace(train, test))
        if train in path.name and other.exists():
            pieces = {"train": path, "test": other}
    found = {split: parse(file) for split, file in pieces.items()}
    first = next(iter(found.values()))
    labelled = [cases.labels for cases in found.values() if cases.labels is not None]
    if labelled and len(labelled) < len(found):
        raise InputError(f"{path}: one of its two files has labels and the other has none")
    words = [word for labels in labelled for word in labels]
    return Contents(
        x=pad([one for cases in found.values() for one in cases.series], str(path)),
        y=_labels(words, first.task, str(path)) if labelled else None,
        kind="series",
        layout="ct",
        task=first.task,
        names=first.names,
        splits=ranges({split: len(cases.series) for split, cases in found.items()}),
        where=str(path),
    )


def _labels(words: list[str], task: Task | None, where: str) -> Array:
    return numbers(words, f"{where}: a target") if task == "regression" else classes(words, where)
