"""Labels: from what a source calls them to class numbers from 0, or float targets."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nervure.data.contents import Array
from nervure.data.dataset import Task
from nervure.errors import InputError

__all__ = ["UNKNOWN", "encode", "ordered", "settled", "words"]

log = logging.getLogger(__name__)

UNKNOWN = frozenset({"", "?"})


def encode(
    y: Array | None, n: int, names: Sequence[str], task: Task | None, where: str
) -> tuple[Array | None, tuple[str, ...], Task]:
    """Labels as (n,) int64 classes or float32 targets, class names, and the task.

    Integers and words are classes, floats are targets, unless ``task`` says otherwise. Classes that are not
    0 ... k-1 are numbered in sorted order and keep their names. -1 and ``"?"`` mean unknown; of words, :func:`settled`
    says when -1 does.

    Examples
    --------
    >>> encode(np.array(["b", "a", "?"]), 3, (), None, "here")
    (array([ 1,  0, -1]), ('a', 'b'), 'classification')
    """
    if task not in (None, "classification", "regression", "none"):
        raise InputError(f"{where}: unknown task {task!r}; there are: classification, regression, none")
    if y is None or task == "none":
        if task in ("classification", "regression"):
            raise InputError(f"{where}: task {task!r} needs labels, and there are none")
        return None, (), "none"
    y = _from_objects(np.asarray(y), task != "regression")
    if y.ndim == 0 or len(y) != n:
        count = "no list of" if y.ndim == 0 else len(y)
        raise InputError(f"{where}: {n} samples but {count} labels; give one label a sample")
    if task is None:
        task = "regression" if y.dtype.kind == "f" else "classification"
    if task == "regression":
        return _targets(y, where), (), task
    if len(set(names)) < len(names):
        name = Counter(names).most_common(1)[0][0]
        raise InputError(f"{where}: two classes are called {name!r}; give each a name of its own")
    y, found = _numbers(y, names, where)
    if len(found) < 2:
        seen = f"only the class {found[0]!r} occurs" if found else "no known class occurs"
        beside = " beside unknown ones (-1 or '?')" if found and (y < 0).any() else ""
        raise InputError(f"{where}: {seen}{beside}; classification needs two or more (task='none' ignores labels)")
    return y, found, task


def ordered(names: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Class names in sorted order: by number if all are numbers, by spelling otherwise.

    >>> ordered({"10", "9", "1"}), ordered({"b", "a"})
    (('1', '9', '10'), ('a', 'b'))
    """
    unique = sorted(set(names))
    try:
        return tuple(sorted(unique, key=float))
    except ValueError:
        return tuple(unique)


def settled(y: Array, names: Sequence[str], where: str) -> Array:
    """Classes as words (n,), ``"?"`` where unknown.

    -1 is unknown beside two or more other classes, and that is told. It is a class beside a single other one, as files
    of two classes often call them, and where ``names``, what the source lists as its classes, has it.

    >>> settled(np.array(["-1", "1", ""]), (), "two").tolist()
    ['-1', '1', '?']
    """
    y = np.where(np.isin(y, list(UNKNOWN)), "?", y)
    minus = y == "-1"
    if not minus.any() or "-1" in names or len(np.unique(y[~minus & (y != "?")])) < 2:
        return y
    log.warning(
        "%s: %d of %d labels are -1 and count as unknown; if that is a class, rename it", where, minus.sum(), len(y)
    )
    return np.where(minus, "?", y)


def words(y: Array) -> Array:
    """Names as text, also where they were stored as bytes or numbers.

    >>> words(np.array([b"cat", b"dog"])).tolist(), words(np.arange(2)).tolist()
    (['cat', 'dog'], ['0', '1'])
    """
    return np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y.astype(np.str_)


def _from_objects(y: Array, classes: bool) -> Array:
    """Python objects, as data frames hold words, as the numbers or words that they are.

    None and NaN are unknown beside words and, where ``classes`` may be meant, beside whole numbers.
    """
    if y.dtype != object:
        return y
    held = y.tolist()
    if isinstance(held, list):
        lacks = [one is None or (isinstance(one, float) and math.isnan(one)) for one in held]
        known = [one for one, lack in zip(held, lacks, strict=True) if not lack]
        unknown: str | int | None = None
        if any(isinstance(one, str) for one in known):
            unknown = "?"
        elif classes and all(isinstance(one, int | np.integer) or float(one).is_integer() for one in known):
            unknown, held = -1, [one if lack else int(one) for one, lack in zip(held, lacks, strict=True)]
        if unknown is not None:
            held = [unknown if lack else one for one, lack in zip(held, lacks, strict=True)]
    try:
        return np.array(held)
    except ValueError:  # lists of unlike lengths
        return y


def _targets(y: Array, where: str) -> Array:
    try:
        with np.errstate(over="ignore"):
            targets = y.astype(np.float32)
    except ValueError as error:
        raise InputError(f"{where}: targets of a regression must be numbers ({error})") from None
    bad = ~np.isfinite(targets).reshape(len(y), -1).all(axis=1)
    if bad.any():
        raise InputError(f"{where}: the target of sample {int(np.argmax(bad))} is NaN or infinite")
    return targets


def _numbers(y: Array, names: Sequence[str], where: str) -> tuple[Array, tuple[str, ...]]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"{where}: labels of shape {y.shape}; classification needs one label a sample")
    if y.dtype.kind in "US":
        return _from_words(words(y), names, where)
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.round(y)).all()):
        raise InputError(f"{where}: labels are not whole numbers; give task='regression'")
    if y.dtype.kind not in "buif":
        raise InputError(f"{where}: labels are {y.dtype}; give whole numbers or words")
    wrong = (y < -1) | (y >= len(names)) if names else y < -1
    if wrong.any():
        first = int(np.argmax(wrong))
        end = f"{len(names) - 1}, the last of its class names" if names else "the number of classes"
        raise InputError(f"{where}: the label of sample {first} is {int(y[first])}, outside -1 (unknown) to {end}")
    if names:
        return y.astype(np.int64), tuple(str(name) for name in names)
    known = np.unique(y[y >= 0])
    place = np.searchsorted(known, y)
    return np.where(y < 0, -1, place).astype(np.int64), tuple(str(int(value)) for value in known)


def _from_words(y: Array, names: Sequence[str], where: str) -> tuple[Array, tuple[str, ...]]:
    y = settled(y, names, where)
    seen = {str(word) for word in np.unique(y)} - {"?"}
    stray = seen - set(names) if names else set()
    if stray:
        raise InputError(f"{where}: label {min(stray)!r} is none of its classes: {', '.join(names)}")
    found = ordered(set(names) or seen)
    number = {name: place for place, name in enumerate(found)} | {"?": -1}
    return np.array([number[str(word)] for word in y], dtype=np.int64), found
