"""``.ts`` files: a header of ``@`` lines, then one case a line, channels parted by ``:``, the label last."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nervure.data.contents import Contents
from nervure.data.dataset import Task
from nervure.data.series import Cases, numbers, read_lines, read_pair
from nervure.errors import InputError

__all__ = ["read"]


def read(path: Path) -> Contents:
    """The cases of a ``.ts`` file, with the ``_TEST`` file beside a ``_TRAIN`` file as test split.

    Unequal lengths and ``?`` at the end become the mask; ``@classLabel`` gives classes, ``@targetLabel``
    targets. It has no settings of its own.

    Parameters
    ----------
    path : path
        The file, plain or gzipped.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.ts"
    ...     _ = path.write_text("@classLabel true up down\\n@data\\n1,2:3,4:up\\n1,2,3:4,5,6:down")
    ...     read(path).x.shape
    (2, 2, 3)
    """
    return read_pair(path, _parse)


def _parse(path: Path) -> Cases:
    """One file's series and labels."""
    lines = read_lines(path)
    header: dict[str, list[str]] = {}
    start = 0
    for start, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not line.startswith("@"):
            raise InputError(f"{path}, line {start}: cases begin before an @data line")
        header[words[0].lower()] = words[1:]
        if words[0].lower() == "@data":
            break
    if "@data" not in header:
        raise InputError(f"{path}: has no @data line, so it is no .ts file or it is cut short")
    if _true(header, "@timestamps"):
        raise InputError(f"{path}: has time stamps within its cases; save it with @timeStamps false")
    task: Task = "none"
    if _true(header, "@classlabel"):
        task = "classification"
    elif _true(header, "@targetlabel"):
        task = "regression"
    names = header.get("@classlabel", [])[1:]
    cases = Cases([], [] if task != "none" else None, names, task)
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() and not line.startswith("#"):
            _case(line, cases, f"{path}, line {number}")
    if not cases.series:
        raise InputError(f"{path}: holds no samples after @data")
    return cases


def _true(header: dict[str, list[str]], key: str) -> bool:
    return header.get(key, ["false"])[:1] in (["true"], ["True"], ["TRUE"])


def _case(line: str, cases: Cases, where: str) -> None:
    parts = line.strip().split(":")
    if cases.labels is not None:
        label = parts.pop().strip()
        if cases.names and label not in cases.names and label != "?":
            raise InputError(f"{where}: label {label!r} is none of its classes: {', '.join(cases.names)}")
        cases.labels.append(label)
    if not parts:
        raise InputError(f"{where}: has no values")
    channels = [numbers(part.split(","), where) for part in parts]
    longest = max(map(len, channels))
    cases.series.append(np.stack([np.pad(one, (0, longest - len(one)), constant_values=np.nan) for one in channels]))
