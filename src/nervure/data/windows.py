"""Long recordings become windows: dynamic acceleration, sliding windows, folds that share no point.

Spec deepcluster, S13. Values are (time, channels), one row a point; windows are (n, channels, length). A window
never crosses the end of a recording, nor that of a fold or split; what is left of a stretch is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.data.arrays import assemble, frame_columns
from nervure.data.contents import Array, Contents
from nervure.data.dataset import Dataset, Indices
from nervure.data.labels import encode
from nervure.data.measure import Scaling
from nervure.data.series import narrowed
from nervure.errors import InputError

__all__ = [
    "Windows",
    "contents_of",
    "cut",
    "folds_of",
    "majority",
    "overlap_average",
    "running_mean",
    "slide",
    "starts_of",
    "vedba",
    "windows",
    "windows_of_folds",
]

Float = NDArray[np.float64]
SPLITS = ("train", "validation", "test")


class Windows(NamedTuple):
    """Windows (n, channels, length), where each begins (n,), its class (n,) and the share of it that is of that class.

    Classes are -1, with a share of 0, where no point has a known one; both are None without labels.
    """

    values: Array
    starts: Indices
    labels: Indices | None
    purity: Float | None


def running_mean(values: ArrayLike, length: int, recordings: ArrayLike | None = None) -> Float:
    """The mean of the ``length`` points around each, (time, channels); fewer at the ends of a recording.

    An even length reaches one point further back than ahead.

    >>> running_mean([[0.0], [3.0], [6.0], [3.0]], 3).ravel().tolist()
    [1.5, 3.0, 4.0, 4.5]
    """
    given = _values(values)
    if length < 1:
        raise InputError(f"running mean: length = {length}; give 1 or more")
    found = np.empty(given.shape)
    for start, end in _runs(_groups(len(given), recordings)):
        # From the first point on, so that what does not vary gives itself exactly.
        first = given[start].astype(np.float64)
        sums = np.concatenate([np.zeros((1, given.shape[1])), np.cumsum(given[start:end] - first, axis=0)])
        at = np.arange(end - start)
        low, high = np.maximum(at - length // 2, 0), np.minimum(at + (length + 1) // 2, end - start)
        found[start:end] = first + (sums[high] - sums[low]) / (high - low)[:, None]
    return found


def vedba(values: ArrayLike, length: int = 50, recordings: ArrayLike | None = None) -> Float:
    """Vectorial dynamic body acceleration (time,): how far each point is from the running mean (Eq 7.2).

    Parameters
    ----------
    values : (time, axes)
        Raw acceleration.
    length : int
        Points of the running mean, which stands for gravity and posture; 50 are two seconds at 25 Hz.
    recordings : (time,), optional
        Which recording each point belongs to.

    Examples
    --------
    >>> vedba([[0.0, 0.0, 1.0]] * 4).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    dynamic = _values(values) - running_mean(values, length, recordings)
    return cast(Float, np.sqrt((dynamic**2).sum(axis=1)))


def starts_of(groups: ArrayLike, length: int = 30, stride: int = 15) -> Indices:
    """Where windows begin: every ``stride`` points of each stretch of one group (time,), as far as they fit.

    A stretch of T points gives ``(T - length) // stride + 1``.

    >>> starts_of([0] * 7 + [1] * 4, length=3, stride=2).tolist()
    [0, 2, 4, 7]
    """
    for name, value in (("length", length), ("stride", stride)):
        if value < 1:
            raise InputError(f"windows: {name} = {value}; give 1 or more")
    found = [np.arange(start, end - length + 1, stride) for start, end in _runs(np.asarray(groups))]
    return np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)


def cut(values: ArrayLike, starts: Indices, length: int) -> Array:
    """The windows (n, channels, length) of (time, channels) values that begin at ``starts``.

    >>> cut([[1], [2], [3]], np.array([0, 1]), 2).tolist()
    [[[1, 2]], [[2, 3]]]
    """
    given = _values(values)
    if len(given) < length:
        return np.empty((0, given.shape[1], length), given.dtype)
    sliding = np.lib.stride_tricks.sliding_window_view(given, length, axis=0)
    return sliding[starts]


def majority(labels: ArrayLike, starts: Indices, length: int) -> tuple[Indices, Float]:
    """The commonest class (n,) of each window and its share of the window (n,); ties go to the lowest class.

    Points of class -1 are unknown and count for none.

    >>> most, purity = majority([0, 0, 1, 1, 1], np.array([0, 1]), 4)
    >>> most.tolist(), purity.tolist()
    ([0, 1], [0.5, 0.75])
    """
    given = np.asarray(labels)
    names = np.unique(given[given >= 0])
    if not len(names):
        return np.full(len(starts), -1, np.int64), np.zeros(len(starts))
    sums = np.zeros((len(given) + 1, len(names)), np.int64)
    np.cumsum(given[:, None] == names, axis=0, out=sums[1:])
    counts = sums[np.asarray(starts) + length] - sums[starts]
    share = counts.max(axis=1) / length
    return np.where(share > 0, names[counts.argmax(axis=1)], -1).astype(np.int64), share


def overlap_average(values: ArrayLike, starts: Indices, time: int) -> Float:
    """The series (time, channels) of which (n, channels, length) are windows: the mean over all that cover a point.

    NaN where none does. From windows that were only cut it gives back what was cut.

    >>> overlap_average([[[1.0, 2.0]], [[4.0, 3.0]]], np.array([0, 1]), 4).ravel().tolist()
    [1.0, 3.0, 3.0, nan]
    """
    given = np.asarray(values, dtype=np.float64)
    length = given.shape[2]
    sums, counts = np.zeros((time, given.shape[1])), np.zeros(time)
    # By place in the window: starts differ, so no point is added to twice at once.
    for place in range(length):
        sums[starts + place] += given[:, :, place]
        counts[starts + place] += 1
    with np.errstate(invalid="ignore"):
        average: Float = sums / counts[:, None]
    return average


def folds_of(labels: ArrayLike, folds: int = 5) -> Indices:
    """The fold (time,) of each point: of every class, in order of time, as many points in a row to each.

    Every class has at least a point in each fold; unknown points, -1, are spread however few they are.

    >>> folds_of([0, 0, 1, 1, 0, 0], 2).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    given = np.asarray(labels)
    if folds < 2:
        raise InputError(f"folds = {folds}; give 2 or more")
    found = np.empty(len(given), np.int64)
    for name in np.unique(given):
        at = np.flatnonzero(given == name)
        if name != -1 and len(at) < folds:
            raise InputError(f"class {name} has {len(at)} points, too few for {folds} folds; give fewer folds")
        found[at] = np.arange(len(at)) * folds // len(at)
    return found


def slide(
    values: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    length: int = 30,
    stride: int = 15,
    groups: ArrayLike | None = None,
    drop_mixed: bool = False,
) -> Windows:
    """Windows of (time, channels) values within each stretch of one group (time,), with their majority class.

    With ``drop_mixed`` only windows whose points are all of one class are kept.

    >>> found = slide(np.arange(8.0)[:, None], [0] * 5 + [1] * 3, length=4, stride=2)
    >>> found.starts.tolist(), found.labels.tolist(), found.purity.tolist()
    ([0, 2, 4], [0, 0, 1], [1.0, 0.75, 0.75])
    """
    given = _values(values)
    starts = starts_of(_groups(len(given), groups), length, stride)
    if labels is None:
        return Windows(cut(given, starts, length), starts, None, None)
    if len(np.asarray(labels)) != len(given):
        raise InputError(f"windows: {len(given)} points but {len(np.asarray(labels))} labels; give one label a point")
    most, purity = majority(labels, starts, length)
    kept = purity == 1 if drop_mixed else np.ones(len(starts), bool)
    return Windows(cut(given, starts[kept], length), starts[kept], most[kept], purity[kept])


def windows_of_folds(
    values: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    length: int = 30,
    stride: int = 15,
    recordings: ArrayLike | None = None,
    folds: int = 5,
    fold: int = 0,
    whole: bool = False,
    validation: float = 0.0,
    drop_mixed: bool = False,
) -> tuple[Windows, dict[str, Indices]]:
    """Windows cut after the points were split into folds, and which are for training, validation and test.

    ``fold`` is the test fold. ``validation`` is the share of the remaining points, the last of each class, that is
    held out of training. Without labels folds are stretches of time; with ``whole`` they are recordings, in turn.

    >>> found, splits = windows_of_folds(np.zeros((600, 3)), [0, 1] * 300, length=10, stride=5, fold=1)
    >>> {name: found.starts[at][[0, -1]].tolist() for name, at in splits.items()}
    {'train': [0, 590], 'test': [120, 230]}
    """
    given = _values(values)
    classes = np.zeros(len(given), np.int64) if labels is None else np.asarray(labels)
    if len(classes) != len(given):
        raise InputError(f"windows: {len(given)} points but {len(classes)} labels; give one label a point")
    if not 0 <= fold < folds:
        raise InputError(f"fold = {fold}; give one from 0 to {folds - 1}")
    if not 0 <= validation < 1:
        raise InputError(f"validation = {validation}; give a share from 0 to below 1")
    recorded = _groups(len(given), recordings)
    if whole and len(np.unique(recorded)) < folds:
        raise InputError(
            f"{folds} folds of whole recordings, and there are {len(np.unique(recorded))}; give fewer folds"
        )
    owner = recorded % folds if whole else folds_of(classes, folds)
    part = np.where(owner == fold, 2, 0)
    for name in np.unique(classes):
        rest = np.flatnonzero((classes == name) & (part == 0))
        part[rest[len(rest) - round(validation * len(rest)) :]] = 1
    groups = (recorded * folds + owner) * 3 + part
    found = slide(given, labels, length=length, stride=stride, groups=groups, drop_mixed=drop_mixed)
    of = part[found.starts]
    splits = {name: np.flatnonzero(of == number) for number, name in enumerate(SPLITS)}
    return found, {name: at for name, at in splits.items() if len(at)}


def windows(
    source: Dataset | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    length: int = 30,
    stride: int = 15,
    recordings: ArrayLike | None = None,
    folds: int | None = None,
    fold: int = 0,
    whole: bool = False,
    validation: float = 0.1,
    test: float = 0.2,
    vedba_length: int = 0,
    drop_mixed: bool = False,
    names: Sequence[str] = (),
    columns: Sequence[str] = (),
    standardize: bool | Scaling = "min-max",
) -> Dataset:
    """A Dataset of the sliding windows of recordings; ``ds.items`` says of each where it begins.

    Parameters
    ----------
    source : (time, channels) array, or Dataset of series
        Of a Dataset every series is a recording, whose windows have its class and its split.
    labels : (time,) int or str, optional
        The class of each point, -1 or ``"?"`` where unknown; a window has the class of most of its points.
    length, stride : int
        Points of a window, and how far the next one begins.
    recordings : (time,) int or str, optional
        Which recording a point belongs to, where there are several.
    folds, fold : int
        With ``folds``, points are split before they are cut (:func:`folds_of`), and ``fold`` is the test split.
        With ``whole`` each recording is in one fold, so that as many folds as recordings leave one out at a time.
        Otherwise splits are cut in order of time, and windows between them that would share points are left out.
    validation, test : float
        Shares of these splits; with ``folds`` only the first is looked at.
    vedba_length : int
        Points of the running mean of :func:`vedba`, which then replaces the channels; 0 keeps these.
    drop_mixed : bool
        Whether windows with points of several classes are left out.
    names : sequence of str
        What the classes are called.
    columns : sequence of str
        What the channels are called; those of a Dataset or a data frame keep their names.
    standardize : bool or str
        As in :func:`nervure.data.from_arrays`, measured on the training windows.

    Examples
    --------
    >>> ds = windows(np.random.default_rng(0).random((900, 3)), ([0] * 60 + [1] * 30) * 10, folds=5)
    >>> ds.in_shape, ds.kind, sorted(ds.splits)
    ((3, 30), 'series', ['test', 'train', 'validation'])
    """
    if isinstance(source, Dataset):
        others = {"labels": labels, "recordings": recordings, "folds": folds, "whole": whole or None,
                  "drop_mixed": drop_mixed or None, "names": names or None,
                  "columns": columns or None}  # fmt: skip
        if told := [name for name, value in others.items() if value is not None]:
            raise InputError(f"{told[0]}: windows of a Dataset have its classes, series and splits; leave it out")
        return _of_series(source, length, stride, vedba_length, standardize)
    given = _values(source)
    if labels is not None and np.asarray(labels).dtype.kind not in "iub":
        labels, names, _ = encode(np.asarray(labels), len(given), names, "classification", "windows")
    if whole and (folds is None or recordings is None):
        raise InputError("whole: give folds, and the recordings that are to stay whole")
    if vedba_length:
        given = vedba(given, vedba_length, recordings)[:, None]
    splits: dict[str, Indices] = {}
    if folds is None:
        groups = None if recordings is None else _groups(len(given), recordings)
        found = slide(given, labels, length=length, stride=stride, groups=groups, drop_mixed=drop_mixed)
    else:
        found, splits = windows_of_folds(
            given, labels, length=length, stride=stride, recordings=recordings, folds=folds, fold=fold,
            whole=whole, validation=validation, drop_mixed=drop_mixed,
        )  # fmt: skip
    called = () if vedba_length else tuple(columns) or frame_columns(source)
    return assemble(
        contents_of(found, names or _names(labels), splits, length, stride, "windows", called),
        validation=validation if folds is None else 0.0,
        test=test if folds is None else 0.0,
        standardize=standardize,
        source="windows",
    )


def _of_series(ds: Dataset, length: int, stride: int, vedba_length: int, standardize: bool | Scaling) -> Dataset:
    """The windows of every series of a Dataset."""
    if ds.kind != "series" or ds.task == "regression":
        raise InputError(f"{ds.source}: windows need series, with classes or without; this is {ds.kind}, {ds.task}")
    values, owner = [], []
    for number in range(len(ds)):
        one = np.asarray(ds.x[number] if ds.mask is None else ds.x[number][:, ds.mask[number]]).T
        values.append(vedba(one, vedba_length)[:, None] if vedba_length else one)
        owner.append(np.full(len(one), number))
    series = np.concatenate(owner)
    found = slide(np.concatenate(values), length=length, stride=stride, groups=series)
    of = series[found.starts]
    found = found._replace(labels=None if ds.y is None else ds.y[of].astype(np.int64))
    splits = {name: np.flatnonzero(np.isin(of, at)) for name, at in ds.splits.items()}
    called = () if vedba_length else ds.columns
    contents = contents_of(found, ds.names, splits, length, stride, ds.source, called)
    return assemble(contents, validation=0.0, test=0.0, standardize=standardize, source=ds.source)


def contents_of(
    found: Windows,
    names: Sequence[str],
    splits: dict[str, Indices],
    length: int,
    stride: int,
    where: str,
    columns: Sequence[str] = (),
) -> Contents:
    """Windows with their splits as what a source holds; each is called after the point where it begins.

    >>> contents_of(slide(np.zeros((9, 1)), length=4, stride=2), (), {}, 4, 2, "nine").items
    ('0', '2', '4')
    """
    if not len(found.starts):
        raise InputError(f"{where}: no stretch of one recording and split holds a window of {length} points")
    return Contents(
        x=narrowed(found.values),
        y=found.labels,
        kind="series",
        layout="ct",
        names=names,
        splits=splits,
        gap=-(-length // stride) - 1,
        items=tuple(map(str, found.starts)),
        columns=columns,
        where=where,
    )


def _names(labels: ArrayLike | None) -> tuple[str, ...]:
    """Classes 0 ... k-1 keep their numbers, also those that are in no window's majority."""
    known = np.empty(0) if labels is None else np.unique(np.asarray(labels)[np.asarray(labels) >= 0])
    return tuple(map(str, known)) if np.array_equal(known, np.arange(len(known))) else ()


def _values(values: ArrayLike) -> Array:
    given = np.asarray(values)
    if given.ndim != 2:
        raise InputError(f"points of shape {given.shape}; give (time, channels)")
    return given


def _groups(n: int, given: ArrayLike | None) -> Indices:
    """A number for each point that tells its group."""
    if given is None:
        return np.zeros(n, np.int64)
    if len(np.asarray(given)) != n:
        raise InputError(f"{n} points but recordings for {len(np.asarray(given))}; give one a point")
    return np.unique(np.asarray(given), return_inverse=True)[1].astype(np.int64)


def _runs(groups: Array) -> list[tuple[int, int]]:
    """Beginning and end of each stretch of equal neighbours."""
    if not len(groups):
        return []
    edges: list[int] = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), len(groups)]
    return list(pairwise(edges))
