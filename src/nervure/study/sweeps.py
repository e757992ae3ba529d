"""Sweeps: measures of a study that differ in one number, such as accuracy by rate or by layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["WHOLE", "Sweep", "controls_of", "plain", "sweeps"]

WHOLE = "none"
"""The label of a value that belongs to a sweep and has no number, such as that of a network that keeps all edges."""

_NUMBERED = re.compile(r"(?P<stem>.*\S) (?P<at>\d+(?:\.\d+)?)")
_PLACE = re.compile(r"(?P<column>.+?) (?P<name>(?:layer|cumulative|keep)\b.*)")


class Sweep(NamedTuple):
    """A table with a line for each number and a column for each arm, or each criterion of a study with one arm.

    ``cells`` has the arm and the measure that stand at a column and a label.
    """

    name: str
    unit: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[str, str]]

    @property
    def numbers(self) -> tuple[str, ...]:
        """The labels that are numbers, which a curve has along its axis."""
        return tuple(label for label in self.labels if label.replace(".", "", 1).isdigit())


def sweeps(arms: Sequence[str], measures: Mapping[str, str]) -> tuple[Sweep, ...]:
    """The sweeps among measures called ``NAME NUMBER``; the measure ``NAME`` itself stands in its line ``none``.

    Columns are the arms. In a study with one arm, measures called ``COLUMN layer NUMBER`` or ``COLUMN ... keep NUMBER``
    make columns of what stands before these words, and ``COLUMN cumulative`` is a line beside the layers.

    >>> [found] = sweeps(["random", "isparse"], {"accuracy": "%", "accuracy 0.1": "%", "accuracy 0.5": "%"})
    >>> found.name, found.columns, found.labels, found.numbers
    ('accuracy', ('random', 'isparse'), ('none', '0.1', '0.5'), ('0.1', '0.5'))
    >>> [found] = sweeps(["base"], {f"{name} layer {at}": "%" for name in ("l1", "lrp") for at in (1, 2)})
    >>> found.name, found.columns, found.cells["lrp", "2"]
    ('layer', ('l1', 'lrp'), ('base', 'lrp layer 2'))
    """
    found: dict[str, dict[tuple[str, str], tuple[str, str]]] = {}
    for measure in measures:
        numbered = _NUMBERED.fullmatch(measure)
        stem, label = (measure, WHOLE) if numbered is None else (numbered["stem"], numbered["at"])
        placed = _PLACE.fullmatch(stem) if len(arms) == 1 else None
        if placed is None:
            cells = {(arm, label): (arm, measure) for arm in arms}
            found.setdefault(stem, {}).update(cells)
        else:
            name, label = ("layer", "cumulative") if placed["name"] == "cumulative" else (placed["name"], label)
            found.setdefault(name, {})[placed["column"], label] = (arms[0], measure)
    return tuple(one for name, cells in found.items() if len((one := _sweep(name, measures, cells)).numbers) > 1)


def plain(arms: Sequence[str], measures: Mapping[str, str]) -> tuple[Sweep, ...]:
    """Each measure that is in no sweep, by itself: one line, and a column for each arm.

    >>> [one.name for one in plain(["a"], {"seconds": "", "h 0": "", "h 1": ""})]
    ['seconds']
    """
    inside = {measure for sweep in sweeps(arms, measures) for _, measure in sweep.cells.values()}
    return tuple(
        Sweep(measure, unit, tuple(arms), (WHOLE,), {(arm, WHOLE): (arm, measure) for arm in arms})
        for measure, unit in measures.items()
        if measure not in inside
    )


def controls_of(column: str, columns: Iterable[str], controls: Sequence[str]) -> tuple[str, ...]:
    """The columns that one is held against: each control by its name, or after the same first words.

    >>> controls_of("isparse", ["isparse", "random"], ["random"])
    ('random',)
    >>> controls_of("tanh isparse", ["tanh isparse", "tanh random", "relu random"], ["random"])
    ('tanh random',)
    """
    first, _, last = column.rpartition(" ")
    if column in controls or last in controls:
        return ()
    wanted = {name for control in controls for name in (control, f"{first} {control}".strip())}
    return tuple(other for other in columns if other in wanted)


def _sweep(name: str, measures: Mapping[str, str], cells: Mapping[tuple[str, str], tuple[str, str]]) -> Sweep:
    columns = tuple(dict.fromkeys(column for column, _ in cells))
    labels = tuple(dict.fromkeys(label for _, label in cells))
    return Sweep(name, measures[next(iter(cells.values()))[1]], columns, labels, cells)
