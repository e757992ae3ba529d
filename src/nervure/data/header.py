"""Headers of ``.csv`` files: whether a first row is one, and whether rows are series or features by it.

Rows are series where there is no header, where all its names begin with a digit, and where they are one word for time
or value with numbers that go up (``t0``, ``t1``; ``value_1``, ``value_2``). Where columns have names of their own, rows
are features.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import pairwise

from nervure.data.dataset import Kind

__all__ = ["LABELS", "counts", "kind_of"]

log = logging.getLogger(__name__)

LABELS = ("label", "class")
"""Names of columns that hold classes."""

STEPS = frozenset({"t", "time", "timestep", "step", "v", "val", "value"})
"""Words that are numbered where columns are time steps."""

_NUMBERED = re.compile(r"(\D*?)[\W_]*(\d+(?:\.\d+)?)")


def counts(top: Sequence[str]) -> bool:
    """Whether a first row numbers columns from 0 on, as a data frame without names does; a label's name may be in it.

    >>> counts(["0", "1", "2"]), counts(["", "0", "label"]), counts(["1", "2"])
    (True, True, False)
    """
    named = top[1:] if top[0] == "" else top
    words = [word for word in named if word.lower() not in LABELS]
    return len(top) > 1 and bool(words) and words == [str(number) for number in range(len(words))]


def kind_of(names: Sequence[str], where: str) -> Kind:
    """What rows are, by the names of the columns of values (numbers without a header); a mere guess is told.

    >>> kind_of(["t0", "t1", "t2"], "a.csv"), kind_of(["age", "height"], "b.csv")
    ('series', 'table')
    """
    if all(name[:1].isdigit() for name in names):
        if all(map(str.isdigit, names)) and ".tsv" not in where:  # the archives of series are parted by tabs
            _tell(where, f"a series of {len(names)} time steps", "features", "table")
        return "series"
    found = [match for match in map(_NUMBERED.fullmatch, names) if match]
    words = {match[1].lower() for match in found}
    upwards = all(one < other for one, other in pairwise(float(match[2]) for match in found))
    if len(found) == len(names) and len(words) == 1 and words <= STEPS and upwards:
        return "series"
    if 2 * len(found) > len(names):
        _tell(where, f"{len(names)} features, {names[0]} to {names[-1]}", "time steps", "series")
    return "table"


def _tell(where: str, what: str, other: str, kind: Kind) -> None:
    option = f"kind={kind}, in a shell --data-option kind={kind}"
    log.warning("%s: each row is read as %s; if they are %s, give %s", where, what, other, option)
