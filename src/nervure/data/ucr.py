"""``.tsv`` files of the UCR archive: a series a row, its class first, no header, NaN at the end for padding."""

from __future__ import annotations

import re
from pathlib import Path

from nervure.data.contents import Contents
from nervure.data.series import Cases, read_pair
from nervure.data.sheet import Sheet, read_sheet

__all__ = ["is_archive", "read"]

_NAMED = re.compile(r".*_(train|test)\.tsv(\.gz)?", re.IGNORECASE)


def is_archive(path: Path, sheet: Sheet) -> bool:
    """Whether a file is called as the archive calls its own, and has no header of words.

    >>> sheet = Sheet(["0", "1"], [["2", "0.5"]], [1], 2, "Waves_TRAIN.tsv")
    >>> is_archive(Path("Waves_TRAIN.tsv"), sheet), is_archive(Path("waves.tsv"), sheet)
    (True, False)
    """
    if not _NAMED.fullmatch(path.name) or sheet.called(range(len(sheet.names))):
        return False
    return all(_whole(row[0]) for row in sheet.rows)


def _whole(cell: str) -> bool:
    try:
        return float(cell).is_integer()
    except ValueError:
        return False


def read(path: Path, sheet: Sheet) -> Contents:
    """The series of a file, whose ``sheet`` is read already, with the ``_TEST`` file beside a ``_TRAIN`` file.

    >>> sheet = Sheet(["0", "1", "2"], [["2", "0.5", "3"], ["1", "4"]], [1, 2], 3, "Waves_TRAIN.tsv")
    >>> contents = read(Path("Waves_TRAIN.tsv"), sheet)
    >>> contents.x.tolist(), contents.y.tolist()
    ([[[0.5, 3.0]], [[4.0, nan]]], ['2', '1'])
    """
    return read_pair(path, lambda file: _cases(sheet if file == path else read_sheet(file)))


def _cases(sheet: Sheet) -> Cases:
    series = [sheet.across(row, range(1, len(row)), number)[None] for number, row in enumerate(sheet.rows)]
    return Cases(series, sheet.cells(0), (), None)
