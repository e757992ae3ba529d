"""``.csv`` files: one sample a row, a series or features, or one time step a row cut into windows.

One sample a row: every cell is a value of it but for the ``label=`` or ``target=`` column (a column headed ``label`` or
``class`` is taken for the label). Of a series (``kind="series"``) the cells are time steps, and empty ones at the end
become the mask; of a table (``kind="table"``) they are features, none of which may be missing. Without ``kind`` the
header decides, as :mod:`nervure.data.header` says.

One time step a row, with ``window=``: columns that are no numbers, such as a date, are left out; each
window of ``window`` rows is a sample (channels, window). With ``horizon=`` or ``target=`` its targets are the
``horizon`` (default 1) values of the target columns (default all) that follow it, with ``label=`` its class
is that of its last row, or with ``label_by="majority"`` of most of its rows. ``skip=`` names columns to leave out.
Columns called ``t``, ``time`` or ``timestamp`` are left out too. Windows begin every ``stride`` rows, and none crosses
the end of a ``recording=``. Splits are cut in order of time and share no row.

One time step a row, uncut: :func:`read_points` gives values, classes and recordings row by row, for
:func:`nervure.data.windows.windows`.

The first row is a header when none of its cells is a number, when it names ``label`` or ``target``, or when it reads
0, 1, 2, ... to its end, after an empty cell or not, and but for a column headed ``label`` or ``class``; ``header=``
settles it. A column without a name in it, as the row numbers of a data frame are written, must be named or left out.
Cells end at commas, semicolons or tabs, whichever the first row has most of.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from nervure.data.contents import Array, Contents
from nervure.data.dataset import Indices
from nervure.data.header import LABELS, counts, kind_of
from nervure.data.labels import encode
from nervure.data.series import MISSING, numbers, read_lines
from nervure.data.windows import majority, starts_of
from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["Points", "read", "read_points"]

Column = str | int

_CLOCKS = ("t", "time", "timestamp")


class Points(NamedTuple):
    """Values (time, channels) float32, classes (time,) int64 or None and their names, recordings (time,), channels."""

    values: Array
    labels: Indices | None
    names: tuple[str, ...]
    recordings: Indices
    columns: tuple[str, ...] = ()


class _Sheet(NamedTuple):
    names: list[str]
    rows: list[list[str]]
    first: int
    width: int  # cells that the first row has
    where: str

    def column(self, which: Column) -> int:
        """The place of a column given by name or number."""
        if isinstance(which, str) and which in self.names:
            return self.names.index(which)
        try:
            place = int(which)
        except ValueError:
            raise InputError(f"{self.where}: no column {which!r}; {nearest(str(which), tuple(self.names))}") from None
        if not -len(self.names) <= place < len(self.names):
            raise InputError(f"{self.where}: no column {place}; it has {len(self.names)}")
        return place % len(self.names)

    def without(self, which: Sequence[Column]) -> _Sheet:
        """The sheet but for some columns."""
        gone = {self.column(one) for one in which}
        kept = [place for place in range(len(self.names)) if place not in gone]
        if not gone:
            return self
        rows = [[row[place] for place in kept if place < len(row)] for row in self.rows]
        width = sum(place < self.width for place in kept)
        return self._replace(names=[self.names[place] for place in kept], rows=rows, width=width)

    def cells(self, which: Column) -> list[str]:
        """What stands in a column, row by row; nothing where a row ends before it."""
        place = self.column(which)
        return [row[place].strip() if place < len(row) else "" for row in self.rows]

    def called(self, places: Sequence[int]) -> tuple[str, ...]:
        """The names of columns; nothing where they are but numbers."""
        names = tuple(self.names[place] for place in places)
        return () if all(name.isdigit() for name in names) else names

    def named(self) -> _Sheet:
        """The sheet, if its header names every column."""
        if "" in self.names:
            place = self.names.index("")
            raise InputError(
                f"{self.where}: column {place} has no name in the header; name it, or leave it out with skip={place}"
            )
        return self

    def even(self) -> _Sheet:
        """The sheet, if its rows are of one length."""
        for number, row in enumerate(self.rows):
            if len(row) != self.width:
                raise InputError(
                    f"{self.where}, line {number + self.first}: {len(row)} cells where there should be {self.width}"
                )
        return self


def read(
    path: Path,
    *,
    label: Column | None = None,
    target: Column | Sequence[Column] | None = None,
    window: int | None = None,
    horizon: int | None = None,
    stride: int = 1,
    recording: Column | None = None,
    header: bool | None = None,
    skip: Column | Sequence[Column] = (),
    label_by: Literal["last", "majority"] = "last",
    kind: str | None = None,
) -> Contents:
    """The samples of a file: one a row, or windows over rows when ``window`` is given.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("1,2\\n3,4\\n5,6\\n7,8")
    ...     contents = read(path, window=2, target=1)
    >>> contents.x.shape, contents.y.tolist()
    ((2, 2, 2), [[6.0], [8.0]])
    """
    targets = () if target is None else (target,) if isinstance(target, str | int) else tuple(target)
    if label is not None and targets:
        raise InputError(f"{path}: give label= for classes or target= for numbers, not both")
    skipped = (skip,) if isinstance(skip, str | int) else tuple(skip)
    sheet = _sheet(path, header, [str(one) for one in (label, recording, *targets, *skipped) if one is not None])
    sheet = sheet.without(skipped).named()
    if window is None:
        for name, value in (("horizon", horizon), ("recording", recording)):
            if value is not None:
                raise InputError(f"{path}: {name}= needs window=, the number of rows of a sample")
        return _rows(sheet, label, targets, kind)
    return _windows(sheet, label, targets, window, horizon, stride, recording, label_by)


def read_points(
    path: Path | str,
    *,
    values: Sequence[Column] | None = None,
    label: Column | None = None,
    recording: Column | None = None,
    header: bool | None = None,
) -> Points:
    """The rows of a file with one time step a row, such as ``t, ax, ay, az, label``.

    Parameters
    ----------
    path : path
        The file, plain or gzipped.
    values : sequence of column, optional
        Which columns hold the channels, by name or number; by default all that hold numbers but for those below
        and a clock (``t``, ``time`` or ``timestamp``).
    label : column, optional
        The class of each row, -1 or ``?`` where unknown; by default a column headed ``label`` or ``class``.
    recording : column, optional
        Which recording a row belongs to; by default all are of one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "bird.csv"
    ...     _ = path.write_text("t,ax,ay,az,label\\n0.00,0,0,1,swim\\n0.04,0,0.1,1,fly")
    ...     points = read_points(path)
    >>> points.values.shape, points.labels.tolist(), points.names
    ((2, 3), [1, 0], ('fly', 'swim'))
    """
    path = Path(path)
    wanted = [str(one) for one in (label, recording, *(values or ())) if one is not None]
    sheet = _sheet(path, header, wanted)
    if label is None:
        label = next((name for name in sheet.names if name.lower() in LABELS), None)
    kept = None if values is None else [sheet.column(one) for one in values]
    words = {
        name: sheet.cells(which) for name, which in (("label", label), ("recording", recording)) if which is not None
    }
    found, numeric = _columns(sheet, [sheet.column(one) for one in (label, recording) if one is not None], kept)
    lack = [sheet.names[place] for place in kept or () if place not in numeric]
    if lack:
        raise InputError(f"{path}: column {lack[0]!r} does not hold numbers")
    labels, names, _ = (
        encode(_classes(words["label"]), len(found), (), "classification", str(path))
        if "label" in words
        else (None, (), None)
    )
    recordings = np.unique(words.get("recording", [""] * len(found)), return_inverse=True)[1].astype(np.int64)
    return Points(found, labels, names, recordings, sheet.called(numeric))


def _sheet(path: Path, header: bool | None, wanted: list[str]) -> _Sheet:
    lines = read_lines(path)
    begin = next((line for line in lines if line.strip()), "")
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else max(";\t,", key=begin.count)
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter, strict=True) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as .csv ({error})") from error
    if not rows:
        raise InputError(f"{path}: holds no samples")
    top = [word.strip() for word in rows[0]]
    if header is None:
        named = any(word in top and not _numeric(word) for word in wanted)
        header = named or counts(top) or not any(_numeric(word) for word in top if word)
    rows = rows[1:] if header else rows
    if not rows:
        raise InputError(f"{path}: holds no samples below its header")
    width = max(map(len, rows))
    names = top + [str(place) for place in range(len(top), width)] if header else [str(n) for n in range(width)]
    return _Sheet(names, rows, 2 if header else 1, len(top), str(path))


def _numeric(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word.lower() in MISSING
    return True


def _rows(sheet: _Sheet, label: Column | None, targets: tuple[Column, ...], kind: str | None) -> Contents:
    if label is None and not targets:
        label = next((name for name in sheet.names if name.lower() in LABELS), None)
    aside = [sheet.column(one) for one in ([label] if label is not None else targets)]
    rest = [place for place in range(len(sheet.names)) if place not in aside]
    if not rest:
        raise InputError(f"{sheet.where}: no column is left for values")
    whole = (kind or kind_of([sheet.names[place] for place in rest], sheet.where)) == "table"
    if whole:
        sheet.even()
    full = [row + [""] * (len(sheet.names) - len(row)) for row in sheet.rows]
    x = np.stack([_parse(row, rest, number, sheet) for number, row in enumerate(full)])
    if whole and not np.isfinite(x).all():
        number, place = np.argwhere(~np.isfinite(x))[0]
        raise InputError(
            f"{sheet.where}, line {number + sheet.first}: column {sheet.names[rest[place]]!r} is "
            f"{full[number][rest[place]]!r}; fill it in, leave out the line, or the column with skip= "
            "(with kind='series' a row may end early)"
        )
    y: Array | None = None
    if label is not None:
        y = _classes([row[aside[0]] for row in full])
    elif targets:
        y = np.stack([_parse(row, aside, number, sheet) for number, row in enumerate(full)])
        y = y[:, 0] if len(aside) == 1 else y
    if whole:
        return Contents(x=x, y=y, kind="table", columns=sheet.called(rest), where=sheet.where)
    return Contents(x=x, y=y, kind="series", where=sheet.where)


def _parse(row: list[str], places: list[int], number: int, sheet: _Sheet) -> Array:
    try:
        return numbers([row[place] for place in places], "")
    except InputError:
        bad = next(place for place in places if not _numeric(row[place].strip()))
        raise InputError(
            f"{sheet.where}, line {number + sheet.first}: column {sheet.names[bad]!r} is {repr(row[bad])[:60]}, "
            "not a number; "
            f"if it holds classes, give label={sheet.names[bad]!r}"
        ) from None


def _classes(words: list[str]) -> Array:
    stripped = [word.strip() for word in words]
    try:
        return np.array([int(word) for word in stripped], dtype=np.int64)
    except (ValueError, OverflowError):
        return np.array(stripped, dtype=np.str_)


def _windows(
    sheet: _Sheet,
    label: Column | None,
    targets: tuple[Column, ...],
    window: int,
    horizon: int | None,
    stride: int,
    recording: Column | None,
    label_by: str,
) -> Contents:
    for name, value in (
        ("window", window),
        ("horizon", 1 if horizon is None else horizon),
        ("stride", stride),
    ):
        if value < 1:
            raise InputError(f"{sheet.where}: {name} = {value}; give 1 or more")
    aside = [sheet.column(one) for one in (label, recording) if one is not None]
    values, places = _columns(sheet, aside, wanted=[sheet.column(one) for one in targets])
    ahead = (horizon or 1) if horizon is not None or targets else 0
    recordings = np.zeros(len(values)) if recording is None else np.array(sheet.cells(recording))
    starts = starts_of(recordings, window + ahead, stride)
    if not len(starts):
        longest = "" if recording is None else ", in one recording,"
        raise InputError(
            f"{sheet.where}: {len(values)} rows are too few{longest} for a window of {window} and {ahead} ahead"
        )
    sliding = np.lib.stride_tricks.sliding_window_view
    each = slice(0, starts[-1] + 1, stride) if recording is None else starts  # a slice copies nothing
    y: Array | None = None
    if ahead:
        wanted = [sheet.column(one) for one in targets] or places
        lack = [sheet.names[place] for place in wanted if place not in places]
        if lack:
            raise InputError(f"{sheet.where}: target column {lack[0]!r} does not hold numbers")
        chosen = values[window:, [places.index(place) for place in wanted]]
        y = np.ascontiguousarray(sliding(chosen, ahead, axis=0)[each])
        y = y[:, 0] if len(wanted) == 1 else y
    elif label is not None:
        words = sheet.cells(label)
        if label_by == "majority":
            y = _by_majority(words, starts, window)
        else:
            y = _classes([words[start + window - 1] for start in starts])
    return Contents(
        x=sliding(values, window, axis=0)[each],
        y=y,
        kind="series",
        columns=sheet.called(places),
        gap=-(-(window + ahead) // stride) - 1,
        where=sheet.where,
    )


def _by_majority(words: list[str], starts: Indices, window: int) -> Array:
    classes = _classes(words)
    known = classes != (-1 if classes.dtype.kind == "i" else "?")
    names, numbered = np.unique(classes, return_inverse=True)
    most = majority(np.where(known, numbered, -1), starts, window)[0]
    unknown: Array = np.array([-1 if classes.dtype.kind == "i" else "?"]).astype(names.dtype)
    return np.where(most < 0, unknown, names[most])


def _columns(
    sheet: _Sheet, aside: Sequence[int], among: Sequence[int] | None = None, wanted: Sequence[int] = ()
) -> tuple[Array, list[int]]:
    """(time, channels) values of the columns that hold numbers, and their places; a clock is one only if ``wanted``."""
    sheet.even()
    columns: list[Array] = []
    places: list[int] = []
    left_out = {*aside, *(place for place, name in enumerate(sheet.names) if name.lower() in _CLOCKS)} - {*wanted}
    for place in among if among is not None else [place for place in range(sheet.width) if place not in left_out]:
        words = [row[place] for row in sheet.rows]
        if not _numeric(words[0].strip()):
            continue
        columns.append(numbers(words, f"{sheet.where}, column {sheet.names[place]!r}"))
        places.append(place)
    if not columns:
        raise InputError(f"{sheet.where}: no column holds numbers")
    values = np.stack(columns, axis=1)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(
            f"{sheet.where}, line {int(np.argmax(bad)) + sheet.first}: a value is missing or infinite; fill it in"
        )
    return values, places
