"""``.arff`` files of series: one value a column, or one relational attribute that holds all channels."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nervure.data.contents import Array, Contents
from nervure.data.dataset import Task
from nervure.data.series import Cases, numbers, pad, read_lines, read_pair
from nervure.errors import InputError

__all__ = ["read"]


class _Header(NamedTuple):
    end: int
    relational: bool
    names: list[str]
    task: Task


def read(path: Path) -> Contents:
    """The cases of an ``.arff`` file, with the ``_TEST`` file beside a ``_TRAIN`` file as test split.

    The last attribute is the label when it lists its classes, a regression target when it is numeric and
    named ``target``. ``?`` at the end of a series becomes the mask. It has no settings of its own.

    Parameters
    ----------
    path : path
        The file, plain or gzipped.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.arff"
    ...     _ = path.write_text("@attribute t real\\n@attribute c {up,down}\\n@data\\n1,up\\n2,down")
    ...     read(path).x.shape
    (2, 1, 1)
    """
    return read_pair(path, _parse)


def _parse(path: Path) -> Cases:
    """One file's series and labels."""
    lines = read_lines(path)
    header = _header(lines, path)
    cases = Cases([], [] if header.task != "none" else None, header.names, header.task)
    for number, line in enumerate(lines[header.end :], header.end + 1):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        where = f"{path}, line {number}"
        if text.startswith("{"):
            raise InputError(f"{where}: sparse rows are not read; save the file with plain rows")
        series, label = _relational(text, where) if header.relational else _flat(text, header)
        if cases.labels is not None:
            if header.names and label not in header.names and label != "?":
                raise InputError(f"{where}: label {label!r} is none of its classes: {', '.join(header.names)}")
            cases.labels.append(label)
        cases.series.append(
            np.stack([numbers(one, where) for one in series]) if _even(series) else _ragged(series, where)
        )
    if not cases.series:
        raise InputError(f"{path}: holds no samples after @data")
    return cases


def _header(lines: list[str], path: Path) -> _Header:
    relational, inside, last, kind = False, False, "", ""
    for end, line in enumerate(lines, 1):
        words = line.strip().split(None, 1)
        word = words[0].lower() if words else ""
        if word == "@data":
            names = _nominal(kind)
            numeric = kind.lower().split()[:1] in (["numeric"], ["real"], ["integer"])
            if names:
                return _Header(end, relational, names, "classification")
            targets = numeric and (relational or last.strip("'\"").lower() == "target")
            return _Header(end, relational, [], "regression" if targets else "none")
        if word == "@end":
            inside = False
        elif word == "@attribute" and not inside:
            last, kind = _attribute(words[1] if len(words) > 1 else "")
            if kind.lower().startswith("relational"):
                relational = inside = True
    raise InputError(f"{path}: has no @data line, so it is no .arff file or it is cut short")


def _attribute(text: str) -> tuple[str, str]:
    if text[:1] in ("'", '"'):
        name, _, kind = text[1:].partition(text[0])
    else:
        name, kind = (*text.split(None, 1), "")[:2]
        if "{" in name:
            name, _, rest = text.partition("{")
            kind = "{" + rest
    return name, kind.strip()


def _nominal(kind: str) -> list[str]:
    if not kind.startswith("{"):
        return []
    row = next(csv.reader([kind.strip("{}")], quotechar="'", skipinitialspace=True))
    return [word.strip().strip('"') for word in row]


def _flat(text: str, header: _Header) -> tuple[list[list[str]], str]:
    words = [word.strip() for word in next(csv.reader([text], quotechar="'", skipinitialspace=True))]
    label = words.pop().strip('"') if header.task != "none" else ""
    return [words], label


def _relational(text: str, where: str) -> tuple[list[list[str]], str]:
    quote = text[0]
    body, found, rest = text[1:].partition(quote)
    if quote not in "'\"" or not found:
        raise InputError(f"{where}: channels must stand in one quoted field")
    label = rest.lstrip(", ").strip().strip("'\"")
    return [row.split(",") for row in body.split("\\n") if row.strip()], label


def _even(series: list[list[str]]) -> bool:
    return len({len(one) for one in series}) == 1


def _ragged(series: list[list[str]], where: str) -> Array:
    if not series:
        raise InputError(f"{where}: has no values")
    return pad([numbers(one, where)[None] for one in series], where)[:, 0]
