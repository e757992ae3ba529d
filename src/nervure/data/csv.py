"""``.csv`` series: one series a row, or one time step a row cut into windows.

One series a row: every cell is a time step but for the ``label=`` or ``target=`` column (a column headed
``label`` or ``class`` is taken for the label). Empty cells at the end become the mask. With
``kind="table"`` a row is a sample of features instead.

One time step a row, with ``window=``: columns that are no numbers, such as a date, are left out; each
window of ``window`` rows is a sample (channels, window). With ``horizon=`` or ``target=`` its targets are the
``horizon`` (default 1) values of the target columns (default all) that follow it, with ``label=`` its class
is that of its last row. Windows begin every ``stride`` rows. Splits are cut in order of time and share no
row.

The first row is a header when none of its cells is a number, or when it names ``label`` or ``target``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nervure.data.contents import Array, Contents
from nervure.data.series import MISSING, numbers, read_lines
from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["read"]

Column = str | int


class _Sheet(NamedTuple):
    names: list[str]
    rows: list[list[str]]
    first: int
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


def read(
    path: Path,
    *,
    label: Column | None = None,
    target: Column | Sequence[Column] | None = None,
    window: int | None = None,
    horizon: int | None = None,
    stride: int = 1,
    header: bool | None = None,
) -> Contents:
    """The series of a file: one a row, or windows over rows when ``window`` is given.

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
    sheet = _sheet(path, header, [str(one) for one in (label, *targets) if one is not None])
    if window is None:
        if horizon is not None:
            raise InputError(f"{path}: horizon= needs window=, the number of rows to forecast from")
        return _rows(sheet, label, targets)
    return _windows(sheet, label, targets, window, horizon, stride)


def _sheet(path: Path, header: bool | None, wanted: list[str]) -> _Sheet:
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","
    try:
        rows = [row for row in csv.reader(read_lines(path), delimiter=delimiter) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as .csv ({error})") from error
    if not rows:
        raise InputError(f"{path}: holds no samples")
    top = [word.strip() for word in rows[0]]
    if header is None:
        header = not any(_numeric(word) for word in top) or any(word in top and not _numeric(word) for word in wanted)
    rows = rows[1:] if header else rows
    if not rows:
        raise InputError(f"{path}: holds no samples below its header")
    width = max(map(len, rows))
    names = top + [str(place) for place in range(len(top), width)] if header else [str(n) for n in range(width)]
    return _Sheet(names, rows, 2 if header else 1, str(path))


def _numeric(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word.lower() in MISSING
    return True


def _rows(sheet: _Sheet, label: Column | None, targets: tuple[Column, ...]) -> Contents:
    if label is None and not targets:
        label = next((name for name in sheet.names if name.lower() in ("label", "class")), None)
    aside = [sheet.column(one) for one in ([label] if label is not None else targets)]
    full = [row + [""] * (len(sheet.names) - len(row)) for row in sheet.rows]
    rest = [place for place in range(len(sheet.names)) if place not in aside]
    if not rest:
        raise InputError(f"{sheet.where}: no column is left for values")
    x = np.stack([_parse(row, rest, number, sheet) for number, row in enumerate(full)])
    y: Array | None = None
    if label is not None:
        y = _classes([row[aside[0]] for row in full])
    elif targets:
        y = np.stack([_parse(row, aside, number, sheet) for number, row in enumerate(full)])
        y = y[:, 0] if len(aside) == 1 else y
    return Contents(x=x, y=y, kind="series", where=sheet.where)


def _parse(row: list[str], places: list[int], number: int, sheet: _Sheet) -> Array:
    try:
        return numbers([row[place] for place in places], "")
    except InputError:
        bad = next(place for place in places if not _numeric(row[place].strip()))
        raise InputError(
            f"{sheet.where}, line {number + sheet.first}: column {sheet.names[bad]!r} is {row[bad]!r}, "
            "not a number; "
            f"if it holds classes, give label={sheet.names[bad]!r}"
        ) from None


def _classes(words: list[str]) -> Array:
    stripped = [word.strip() for word in words]
    try:
        return np.array([int(word) for word in stripped], dtype=np.int64)
    except ValueError:
        return np.array(stripped, dtype=np.str_)


def _windows(
    sheet: _Sheet,
    label: Column | None,
    targets: tuple[Column, ...],
    window: int,
    horizon: int | None,
    stride: int,
) -> Contents:
    for name, value in (
        ("window", window),
        ("horizon", 1 if horizon is None else horizon),
        ("stride", stride),
    ):
        if value < 1:
            raise InputError(f"{sheet.where}: {name} = {value}; give 1 or more")
    values, places = _columns(sheet, None if label is None else sheet.column(label))
    ahead = (horizon or 1) if horizon is not None or targets else 0
    count = (len(values) - window - ahead) // stride + 1
    if count < 1:
        raise InputError(f"{sheet.where}: {len(values)} rows are too few for a window of {window} and {ahead} ahead")
    sliding = np.lib.stride_tricks.sliding_window_view
    y: Array | None = None
    if ahead:
        wanted = [sheet.column(one) for one in targets] or places
        lack = [sheet.names[place] for place in wanted if place not in places]
        if lack:
            raise InputError(f"{sheet.where}: target column {lack[0]!r} does not hold numbers")
        chosen = values[window:, [places.index(place) for place in wanted]]
        y = np.ascontiguousarray(sliding(chosen, ahead, axis=0)[::stride][:count])
        y = y[:, 0] if len(wanted) == 1 else y
    elif label is not None:
        last = [sheet.rows[window - 1 + number * stride][sheet.column(label)] for number in range(count)]
        y = _classes(last)
    return Contents(
        x=sliding(values, window, axis=0)[::stride][:count],
        y=y,
        kind="series",
        gap=-(-(window + ahead) // stride) - 1,
        where=sheet.where,
    )


def _columns(sheet: _Sheet, aside: int | None) -> tuple[Array, list[int]]:
    """(time, channels) values of the columns that hold numbers, and the places of these."""
    width = len(sheet.names)
    for number, row in enumerate(sheet.rows):
        if len(row) != width:
            raise InputError(
                f"{sheet.where}, line {number + sheet.first}: {len(row)} cells where there should be {width}"
            )
    columns: list[Array] = []
    places: list[int] = []
    for place in range(width):
        words = [row[place] for row in sheet.rows]
        if place == aside or not _numeric(words[0].strip()):
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
