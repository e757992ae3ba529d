"""Sweeps: measures of a study that differ in one number, such as accuracy by rate or by layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["WHOLE", "Sweep", "controls_of", "plain", "series", "split", "sweeps"]

WHOLE = "none"
"""The label of a value that belongs to a sweep and has no number, such as that of a network that keeps all edges."""

_NUMBERED = re.compile(r"(?P<stem>.*\S) (?P<at>\d+(?:\.\d+)?)")
_PLACE = re.compile(r"(?P<column>.+?) (?P<name>(?:layer|cumulative|keep)\b.*)")
_LAYER = re.compile(r"(?P<before>.+) (?P<layer>layer \d+)(?P<after>.*)")


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


def sweeps(arms: Sequence[str], measures: Mapping[str, str], by_layer: bool = False) -> tuple[Sweep, ...]:
    """The sweeps among measures called ``NAME NUMBER``; the measure ``NAME`` itself stands in its line ``none``.

    Columns are the arms. In a study with one arm, measures called ``COLUMN layer NUMBER`` or ``COLUMN ... keep NUMBER``
    make columns of what stands before these words, and ``COLUMN cumulative`` is a line beside the layers. With
    ``by_layer`` the columns are layers: measures called ``NAME layer NUMBER keep NUMBER`` make a sweep ``NAME keep``
    with a column a layer, in a study of several arms one of each arm.

    >>> [found] = sweeps(["random", "isparse"], {"accuracy": "%", "accuracy 0.1": "%", "accuracy 0.5": "%"})
    >>> found.name, found.columns, found.labels, found.numbers
    ('accuracy', ('random', 'isparse'), ('none', '0.1', '0.5'), ('0.1', '0.5'))
    >>> [found] = sweeps(["base"], {f"{name} layer {at}": "%" for name in ("l1", "lrp") for at in (1, 2)})
    >>> found.name, found.columns, found.cells["lrp", "2"]
    ('layer', ('l1', 'lrp'), ('base', 'lrp layer 2'))
    >>> names = [f"l1 layer {at} keep {share}" for at in (1, 2) for share in (0.3, 0.5)]
    >>> [found] = sweeps(["base"], dict.fromkeys(names, "%"), by_layer=True)
    >>> found.name, found.columns, found.cells["layer 2", "0.3"]
    ('l1 keep', ('layer 1', 'layer 2'), ('base', 'l1 layer 2 keep 0.3'))
    """
    found: dict[str, dict[tuple[str, str], tuple[str, str]]] = {}
    for measure in measures:
        if by_layer and (layer := _LAYER.fullmatch(measure)):
            stem, label = split(layer["before"] + layer["after"])
            for arm in arms:
                name = stem if len(arms) == 1 else f"{arm} {stem}"
                found.setdefault(name, {})[layer["layer"], label] = (arm, measure)
            continue
        stem, label = split(measure)
        placed = _PLACE.fullmatch(stem) if len(arms) == 1 else None
        if placed is None:
            cells = {(arm, label): (arm, measure) for arm in arms}
            found.setdefault(stem, {}).update(cells)
        else:
            name, label = ("layer", "cumulative") if placed["name"] == "cumulative" else (placed["name"], label)
            found.setdefault(name, {})[placed["column"], label] = (arms[0], measure)
    return tuple(one for name, cells in found.items() if len((one := _sweep(name, measures, cells)).numbers) > 1)


def series(curves: Mapping[str, str], made: Mapping[str, Sequence[Iterable[str]]]) -> tuple[Sweep, ...]:
    """The sweeps called as ``curves``, over the numbers that trials have.

    An arm's line ends where that of the first of its trials does: a mean over those that go on would jump.

    Parameters
    ----------
    curves : mapping of str to str
        Names and their units.
    made : mapping of arm to names
        The names of the measures of each of its trials; a trial without the curve takes no part in it.

    Examples
    --------
    >>> [found] = series({"cycle": "%"}, {"a": [["cycle 9", "cycle 10"], ["accuracy"]], "b": [["cycle 9"]]})
    >>> found.labels, ("b", "10") in found.cells
    (('9', '10'), False)
    """
    found = []
    for name, unit in curves.items():
        cells: dict[tuple[str, str], tuple[str, str]] = {}
        for arm, trials in made.items():
            each = [{label for stem, label in map(split, one) if stem == name} - {WHOLE} for one in trials]
            shared = set.intersection(*having) if (having := [one for one in each if one]) else set()
            cells |= {(arm, label): (arm, f"{name} {label}") for label in shared}
        labels = tuple(sorted({label for _, label in cells}, key=float))
        found.append(Sweep(name, unit, tuple(made), labels, cells))
    return tuple(one for one in found if len(one.labels) > 1)


def plain(arms: Sequence[str], measures: Mapping[str, str], by_layer: bool = False) -> tuple[Sweep, ...]:
    """Each measure that is in no sweep, by itself: one line, and a column for each arm.

    >>> [one.name for one in plain(["a"], {"seconds": "", "h 0": "", "h 1": ""})]
    ['seconds']
    """
    inside = {measure for sweep in sweeps(arms, measures, by_layer) for _, measure in sweep.cells.values()}
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


def split(measure: str) -> tuple[str, str]:
    """A measure's name without the number at its end, and that number, or that there is none.

    >>> split("accuracy 0.5"), split("accuracy")
    (('accuracy', '0.5'), ('accuracy', 'none'))
    """
    numbered = _NUMBERED.fullmatch(measure)
    return (measure, WHOLE) if numbered is None else (numbered["stem"], numbered["at"])


def _sweep(name: str, measures: Mapping[str, str], cells: Mapping[tuple[str, str], tuple[str, str]]) -> Sweep:
    columns = tuple(dict.fromkeys(column for column, _ in cells))
    labels = tuple(dict.fromkeys(label for _, label in cells))
    return Sweep(name, measures[next(iter(cells.values()))[1]], columns, labels, cells)
