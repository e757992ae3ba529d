"""Sheets: the rows of a ``.csv`` file with the names of their columns, before these are samples or time steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nervure.data.contents import Array
from nervure.data.header import LABELS, counts
from nervure.data.series import MISSING, numbers, read_text
from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["Column", "Sheet", "read_sheet"]

Column = str | int

_MARKS = str.maketrans("", "", ",;")


class Sheet(NamedTuple):
    """Names of columns, rows of cells, the line where each begins, how many cells the first has, and the file.

    >>> sheet = Sheet(["u", "label"], [["1", "a"], ["2", "b"]], [2, 3], 2, "a.csv")
    >>> sheet.label(None), sheet.cells("label"), sheet.without(["u"]).names
    (1, ['a', 'b'], ['label'])
    """

    names: list[str]
    rows: list[list[str]]
    lines: Sequence[int]
    width: int
    where: str

    def places(self, which: Column) -> list[int]:
        """Where the columns of a name, or the one of a number, stand."""
        found = [place for place, name in enumerate(self.names) if name == which]
        if found:
            return found
        try:
            place = int(which)
        except ValueError:
            raise InputError(f"{self.where}: no column {which!r}; {nearest(str(which), tuple(self.names))}") from None
        if not -len(self.names) <= place < len(self.names):
            raise InputError(f"{self.where}: no column {place}; it has {len(self.names)}")
        return [place % len(self.names)]

    def column(self, which: Column) -> int:
        """The place of a column, given by name or number, whose name no other has."""
        name = self.names[self.places(which)[0]]
        if len(twins := self.places(name)) > 1:
            raise InputError(
                f"{self.where}: columns {twins[0]} and {twins[1]} are both called {name!r}; rename one, or leave it "
                f"out with skip={twins[1]}"
            )
        return twins[0]

    def label(self, given: Column | None) -> int | None:
        """The place of the labels: the column given, or the one that is headed as such."""
        headed = [place for place, name in enumerate(self.names) if name.lower() in LABELS]
        if len(headed) > 1 and (given is None or self.places(given)[0] in headed):
            one, other = (self.names[place] for place in headed[:2])
            raise InputError(
                f"{self.where}: {one!r} and {other!r} both hold labels; rename one, or leave it out with "
                f"skip={headed[1]}"
            )
        if given is not None:
            return self.column(given)
        return headed[0] if headed else None

    def without(self, which: Sequence[Column]) -> Sheet:
        """The sheet but for some columns."""
        gone = {place for one in which for place in self.places(one)}
        kept = [place for place in range(len(self.names)) if place not in gone]
        if not gone:
            return self
        rows = [[row[place] for place in kept if place < len(row)] for row in self.rows]
        width = sum(place < self.width for place in kept)
        return self._replace(names=[self.names[place] for place in kept], rows=rows, width=width)

    def cells(self, which: Column) -> list[str]:
        """What stands in a column, row by row; a row that ends before it is refused."""
        place = self.column(which)
        for line, row in zip(self.lines, self.rows, strict=True):
            if place >= len(row):
                raise InputError(f"{self.where}, line {line}: ends before column {self.names[place]!r}; fill it in")
        return [row[place].strip() for row in self.rows]

    def called(self, places: Sequence[int]) -> tuple[str, ...]:
        """The names of columns; nothing where they are but numbers."""
        names = tuple(self.names[place] for place in places)
        return () if all(name.isdigit() for name in names) else names

    def named(self) -> Sheet:
        """The sheet, if its header names every column."""
        if "" in self.names:
            place = self.names.index("")
            raise InputError(
                f"{self.where}: column {place} has no name in the header; name it, or leave it out with skip={place}"
            )
        return self

    def even(self) -> Sheet:
        """The sheet, if its rows are of one length."""
        for line, row in zip(self.lines, self.rows, strict=True):
            if len(row) != self.width:
                raise InputError(f"{self.where}, line {line}: {len(row)} cells where there should be {self.width}")
        return self

    def across(self, row: Sequence[str], places: Sequence[int], number: int) -> Array:
        """The numbers of a row in some columns."""
        words = [row[place] for place in places]
        try:
            return numbers(words, "")
        except InputError:
            place, word = next(pair for pair in zip(places, words, strict=True) if not _numeric(pair[1]))
            raise self._no_number(place, number, word) from None

    def down(self, place: int) -> Array | None:
        """The numbers of a column; None where it holds none at all."""
        words = [row[place] for row in self.rows]
        if not any(map(_numeral, words)):
            return None
        try:
            return numbers(words, "")
        except InputError:
            number, word = next(pair for pair in enumerate(words) if not _numeric(pair[1]))
            raise self._no_number(place, number, word) from None

    def _no_number(self, place: int, number: int, word: str) -> InputError:
        name = self.names[place]
        way = f"if it holds classes, give label={name!r}"
        if _numeral(word):
            way = "write decimals with a point, and no other mark within a number"
        return InputError(
            f"{self.where}, line {self.lines[number]}: column {name!r} is {repr(word)[:60]}, not a number; {way}; "
            f"skip={name!r} leaves the column out"
        )


def read_sheet(path: Path, header: bool | None = None, wanted: Sequence[str] = ()) -> Sheet:
    """The rows of a file; a first row that holds a ``wanted`` name is its header unless ``header`` settles it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text("u;v\\n1;2")
    ...     read_sheet(Path(folder) / "a.csv")[:3]
    (['u', 'v'], [['1', '2']], [2])
    """
    text = io.StringIO(read_text(path), newline="")
    begin = next((line for line in text if line.strip()), "")
    text.seek(0)
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else max(";\t,", key=begin.count)
    try:
        rows, lines = _rows(text, delimiter)
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as .csv ({error})") from error
    if not rows:
        raise InputError(f"{path}: holds no samples")
    top = [word.strip() for word in rows[0]]
    if header is None:
        named = any(word in top and not _numeric(word) for word in wanted)
        header = named or counts(top) or not any(_numeric(word) for word in top if word)
    rows, lines = (rows[1:], lines[1:]) if header else (rows, lines)
    if not rows:
        raise InputError(f"{path}: holds no samples below its header")
    width = max(map(len, rows))
    names = top + [str(place) for place in range(len(top), width)] if header else [str(n) for n in range(width)]
    return Sheet(names, rows, lines, len(top), str(path))


def _rows(text: io.StringIO, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """The rows that hold anything, and the line where each begins, as an editor counts them."""
    rows, lines, begins = [], [], 1
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    for row in reader:
        if any(map(str.strip, row)):
            rows.append(row)
            lines.append(begins)
        begins = reader.line_num + 1
    return rows, lines


def _numeric(word: str) -> bool:
    """Whether a cell is a number, or a missing one."""
    try:
        float(word)
    except ValueError:
        return word.strip().lower() in MISSING
    return True


def _numeral(word: str) -> bool:
    """Whether a cell is a number, also one with commas, as many countries write decimals."""
    if word.strip().lower() in MISSING:
        return False
    try:
        float(word.translate(_MARKS))
    except ValueError:
        return False
    return True
