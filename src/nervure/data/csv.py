"""``.csv`` files: one sample a row, a series or features, or one time step a row cut into windows.

One sample a row: every cell is a value of it but for the ``label=`` or ``target=`` column (a column headed ``label`` or
``class`` is taken for the label). Of a series (``kind="series"``) the cells are time steps, and empty ones at the end
become the mask; of a table (``kind="table"``) they are features, none of which may be missing. Without ``kind`` the
header decides, as :mod:`nervure.data.header` says.

One time step a row, with ``window=``: columns in which no cell is a number, such as a date, are left out; each window
of ``window`` rows is a sample (channels, window). With ``horizon=`` or ``target=`` its targets are the ``horizon``
(default 1) values of the target columns (default all) that follow it; otherwise, with ``label=`` or a column headed as
above, its class is that of its last row, or with ``label_by="majority"`` of most of its rows. ``skip=`` names columns
to leave out. Columns called ``t``, ``time`` or ``timestamp`` are left out too. Windows begin every ``stride`` rows, and
none crosses the end of a ``recording=``. Splits are cut in order of time and share no row.

One time step a row, uncut: :func:`read_points` gives values, classes and recordings row by row, for
:func:`nervure.data.windows.windows`.

The first row is a header when none of its cells is a number, when it names ``label`` or ``target``, or when it reads
0, 1, 2, ... to its end, after an empty cell or not, and but for a column headed ``label`` or ``class``; ``header=``
settles it. A column without a name in it, as the row numbers of a data frame are written, must be named or left out.
Cells end at commas, semicolons or tabs, whichever the first row has most of. Of files that are called as those of the
UCR archive, :mod:`nervure.data.ucr` says how rows are read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from nervure.data import ucr
from nervure.data.contents import Array, Contents
from nervure.data.dataset import Indices
from nervure.data.header import kind_of
from nervure.data.labels import encode, settled
from nervure.data.series import classes
from nervure.data.sheet import Column, Sheet, read_sheet
from nervure.data.windows import majority, starts_of
from nervure.errors import InputError

__all__ = ["Points", "read", "read_points"]

log = logging.getLogger(__name__)

_CLOCKS = ("t", "time", "timestamp")


class Points(NamedTuple):
    """Values (time, channels), classes (time,) int64 or None and their names, recordings (time,), channels.

    Values are float32, or float64 where whole numbers are too large for that.
    """

    values: Array
    labels: Indices | None
    names: tuple[str, ...]
    recordings: Indices
    columns: tuple[str, ...] = ()


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

    Columns are given by name or number. Without ``label``, ``target`` and ``horizon`` a column headed ``label`` or
    ``class`` holds the classes. In windows, columns that hold no number and those called ``t``, ``time`` or
    ``timestamp`` are no channels. ``*_TRAIN.tsv`` and ``*_TEST.tsv`` without a header hold the class first, as those of
    the UCR archive do, and the one is read with the other beside it as test split.

    Parameters
    ----------
    path : path
        The file, plain or gzipped; cells end at commas, semicolons or tabs, whichever the first row has most of.
    label : column, optional
        The class of each row, ``?`` where unknown; -1 too, beside two or more other classes.
    target : column or sequence of columns, optional
        Numbers to be predicted: of the row itself, or with ``window`` those that follow.
    window : int, optional
        Rows of a sample, where a row is a time step; a window has the class of its last row.
    horizon : int, optional
        With ``window``, how many rows ahead are targets: 1 if ``target`` is given, otherwise none. Without ``target``
        all columns are.
    stride : int
        Rows from where one window begins to where the next does.
    recording : column, optional
        Which recording a row is of; no window crosses into another.
    header : bool, optional
        Whether the first row is a header; without it that row's cells decide.
    skip : column or sequence of columns
        What is left out. Numbers in other settings count what remains.
    label_by : {"last", "majority"}
        Whether a window has the class of its last row, or of most of its rows.
    kind : {"series", "table"}, optional
        Whether a row is a series or a sample of features; without it the header decides.

    Examples
    --------
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
    sheet = read_sheet(path, header, [str(one) for one in (label, recording, *targets, *skipped) if one is not None])
    sheet = sheet.without(skipped).named()
    if window is None:
        for name, value in (("horizon", horizon), ("recording", recording)):
            if value is not None:
                raise InputError(f"{path}: {name}= needs window=, the number of rows of a sample")
        plain = label in (None, 0, "0") and kind != "table" and not (targets or skipped)
        return ucr.read(path, sheet) if plain and ucr.is_archive(path, sheet) else _rows(sheet, label, targets, kind)
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
        The class of each row, ``?`` where unknown, -1 too beside two or more other classes; by default a column headed
        ``label`` or ``class``.
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
    sheet = read_sheet(path, header, wanted)
    label = sheet.label(label)
    kept = None if values is None else [sheet.column(one) for one in values]
    words = {
        name: sheet.cells(which) for name, which in (("label", label), ("recording", recording)) if which is not None
    }
    found, numeric = _columns(sheet, [sheet.column(one) for one in (label, recording) if one is not None], kept)
    lack = [sheet.names[place] for place in kept or () if place not in numeric]
    if lack:
        raise InputError(f"{path}: column {lack[0]!r} does not hold numbers")
    labels, names, _ = (
        encode(classes(words["label"], sheet.where), len(found), (), "classification", sheet.where)
        if "label" in words
        else (None, (), None)
    )
    recorded = np.array(words.get("recording", [""] * len(found)), dtype=object)
    recordings = np.unique(recorded, return_inverse=True)[1].astype(np.int64)
    return Points(found, labels, names, recordings, sheet.called(numeric))


def _rows(sheet: Sheet, label: Column | None, targets: tuple[Column, ...], kind: str | None) -> Contents:
    label = None if targets else sheet.label(label)
    aside = [sheet.column(one) for one in ([label] if label is not None else targets)]
    rest = [place for place in range(len(sheet.names)) if place not in aside]
    if not rest:
        raise InputError(f"{sheet.where}: no column is left for values")
    whole = (kind or kind_of([sheet.names[place] for place in rest], sheet.where)) == "table"
    if whole:
        sheet.even()
    words = None if label is None else sheet.cells(label)
    full = [row + [""] * (len(sheet.names) - len(row)) for row in sheet.rows]
    x = np.stack([sheet.across(row, rest, number) for number, row in enumerate(full)])
    if whole and not np.isfinite(x).all():
        number, place = np.argwhere(~np.isfinite(x))[0]
        raise InputError(
            f"{sheet.where}, line {sheet.lines[number]}: column {sheet.names[rest[place]]!r} is "
            f"{full[number][rest[place]]!r}; fill it in, leave out the line, or the column with skip= "
            "(with kind='series' a row may end early)"
        )
    y: Array | None = None
    if words is not None:
        y = classes(words, sheet.where)
    elif targets:
        y = np.stack([sheet.across(row, aside, number) for number, row in enumerate(full)])
        y = y[:, 0] if len(aside) == 1 else y
    if whole:
        return Contents(x=x, y=y, kind="table", columns=sheet.called(rest), where=sheet.where)
    return Contents(x=x, y=y, kind="series", where=sheet.where)


def _windows(
    sheet: Sheet,
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
    ahead = (horizon or 1) if horizon is not None or targets else 0
    label = label if ahead else sheet.label(label)
    aside = [sheet.column(one) for one in (label, recording) if one is not None]
    values, places = _columns(sheet, aside, wanted=[sheet.column(one) for one in targets])
    recordings = np.zeros(len(values)) if recording is None else np.array(sheet.cells(recording), dtype=object)
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
        words = settled(classes(sheet.cells(label), sheet.where), (), sheet.where)
        y = _by_majority(words, starts, window) if label_by == "majority" else words[starts + window - 1]
    return Contents(
        x=sliding(values, window, axis=0)[each],
        y=y,
        kind="series",
        columns=sheet.called(places),
        gap=-(-(window + ahead) // stride) - 1,
        where=sheet.where,
    )


def _by_majority(words: Array, starts: Indices, window: int) -> Array:
    names, numbered = np.unique(words, return_inverse=True)
    most = majority(np.where(words == "?", -1, numbered), starts, window)[0]
    return np.where(most < 0, "?", names[most])


def _columns(
    sheet: Sheet, aside: Sequence[int], among: Sequence[int] | None = None, wanted: Sequence[int] = ()
) -> tuple[Array, list[int]]:
    """(time, channels) values of the columns that hold numbers, and their places; a clock is one only if ``wanted``."""
    sheet.even()
    left_out = {*aside, *(place for place, name in enumerate(sheet.names) if name.lower() in _CLOCKS)} - {*wanted}
    asked = [place for place in range(sheet.width) if place not in left_out] if among is None else among
    found = {place: column for place in asked if (column := sheet.down(place)) is not None}
    if not found:
        raise InputError(f"{sheet.where}: no column holds numbers")
    if len(found) < len(asked) and among is None:
        bare = ", ".join(sheet.names[place] for place in asked if place not in found)
        log.warning("%s: left out the columns that hold no numbers: %s", sheet.where, bare)
    values = np.stack(list(found.values()), axis=1)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        line = sheet.lines[int(np.argmax(bad))]
        raise InputError(f"{sheet.where}, line {line}: a value is missing or infinite; fill it in")
    return values, list(found)
