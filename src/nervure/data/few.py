"""Fewer labels than there are: part of them, or coarser ones (spec deepcluster, S10 to S12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from nervure.data.counter import order
from nervure.data.dataset import Indices
from nervure.errors import InputError

__all__ = ["keep_labels", "parent_labels"]

_DRAW = 0xFE3  # no epoch's number, so that what is drawn comes first in none


def keep_labels(y: ArrayLike, keep: float | int, seed: int = 0) -> Indices:
    """Labels (n,) of which only some are known, the rest -1: the same share of every class.

    Under one seed those that a smaller ``keep`` leaves known are known under a larger one too. Every class keeps at
    least one as soon as there are as many labels as classes.

    Parameters
    ----------
    y : (n,) int
        Classes, -1 where unknown already.
    keep : float or int
        A float from 0 to 1 is a share of the known labels, an int from 0 their number.
    seed : int
        Decides which.

    Examples
    --------
    >>> few = keep_labels([0] * 6 + [1] * 3, 3)
    >>> [(few == label).sum().item() for label in (0, 1, -1)]
    [2, 1, 6]
    """
    given = _labels(y)
    known = np.flatnonzero(given >= 0)
    count = _count(keep, len(known))
    shuffled = known[order(len(known), seed, _DRAW)]
    place = np.empty(len(shuffled))
    for name in np.unique(given[known]):
        mine = np.flatnonzero(given[shuffled] == name)
        # The middle of each member's share of its class: taken in this order, every class is filled at one pace.
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
        place[mine[0]] = 0.0
    chosen = shuffled[np.argsort(place, kind="stable")[:count]]
    found = np.full(len(given), -1, np.int64)
    found[chosen] = given[chosen]
    return found


def parent_labels(y: ArrayLike, parents: Mapping[int, int] | Sequence[int] | None = None) -> Indices:
    """Coarser labels (n,): the parent of each class; unknown ones stay -1.

    By default 0 for the classes 0 to 4 and 1 for the others (spec deepcluster, Eq 4.7).

    >>> parent_labels([0, 4, 5, -1]).tolist(), parent_labels([0, 1, 2], [7, 7, 8]).tolist()
    ([0, 0, 1, -1], [7, 7, 8])
    """
    given = _labels(y)
    if parents is None:
        return np.where(given < 0, -1, (given >= 5).astype(np.int64))
    table = dict(parents) if isinstance(parents, Mapping) else dict(enumerate(parents))
    found = np.full(len(given), -1, np.int64)
    for name in np.unique(given[given >= 0]).tolist():
        if name not in table:
            raise InputError(f"class {name} has no parent; give one for every class")
        found[given == name] = table[name]
    return found


def _labels(y: ArrayLike) -> Indices:
    given = np.asarray(y)
    if given.ndim != 1 or (given.dtype.kind not in "iu" and len(given)):
        raise InputError(f"labels of shape {given.shape} and type {given.dtype}; give (n,) whole numbers")
    if (given < -1).any():
        raise InputError(f"label {int(given.min())}; give classes from 0, and -1 for unknown")
    return cast(Indices, given.astype(np.int64))


def _count(keep: float | int, known: int) -> int:
    if isinstance(keep, bool) or not isinstance(keep, int | float):
        raise InputError(f"keep = {keep!r}; give a share from 0.0 to 1.0 or a whole number of labels")
    if isinstance(keep, float):
        if not 0 <= keep <= 1:
            raise InputError(f"keep = {keep}; give a share from 0.0 to 1.0")
        return round(keep * known)
    if not 0 <= keep <= known:
        raise InputError(f"keep = {keep} labels of {known} known ones; give 0 to {known}")
    return keep
