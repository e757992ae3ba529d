"""Tables of a study as papers print them: arms down and measures across, or a sweep's numbers down and arms across.

A cell is our mean over seeds, its standard deviation, and in brackets what was published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nervure.study.results import Row
from nervure.study.sweeps import WHOLE, Sweep, plain, sweeps

__all__ = ["Layout", "brackets", "in_words", "layouts", "number", "ours", "swept"]

AXES = {"layer": "layer", "keep": "kept share", "cycle": "cycle"}
SMALL = 0.095  # below it two decimals say too little

Cells = Mapping[tuple[str, str], Sequence[Row]]


class Layout(NamedTuple):
    """One table, its first column saying what a line is; ``name`` is what a sweep shows, and empty without one."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def layouts(
    arms: Sequence[str], rows: Sequence[Row], *, by_layer: bool = False, axis: str | Mapping[str, str] = ""
) -> tuple[Layout, ...]:
    """The tables of a study: one of its single measures, and one of each sweep.

    Lines and columns without a figure are left out. Where arms have unlike numbers of seeds, these are told. Before
    anything is measured, the tables hold what was published.

    >>> row = Row("dec", "acc", "%", 76.2, 69.9, None, 1, -6.3, "Table 1")
    >>> other = Row("aec", "acc", "%", None, 70.25, 1.0, 2, None, "")
    >>> layouts(["dec", "aec"], [row, other])[0].rows
    (('dec', '1', '69.90 [76.20]'), ('aec', '2', '70.25 ± 1.00'))
    """
    measures = {row.measure: row.unit for row in rows}
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in _known(rows):
        cells.setdefault((row.arm, row.measure), []).append(row)
    alone = plain(arms, measures, by_layer)
    found = [_by_arm(arms, alone, cells)] if len(arms) > 1 else [*_by_word(arms[0], alone, cells)]
    found += [_by_number(sweep, cells, axis) for sweep in sweeps(arms, measures, by_layer)]
    return tuple(full for one in found if (full := _filled(one)).rows)


def _by_arm(arms: Sequence[str], alone: Sequence[Sweep], cells: Cells) -> Layout:
    """A line for each arm, a column for each measure."""
    seeds = _seeds([[cells.get((arm, one.name)) for one in alone] for arm in arms])
    header = ("", "seeds", *(in_words(one.name, one.unit) for one in alone))
    lines = [
        (arm, told, *(_cell(cells.get((arm, one.name))) for one in alone))
        for arm, told in zip(arms, seeds, strict=True)
    ]
    return Layout("", header, tuple(lines))


def _by_word(arm: str, alone: Sequence[Sweep], cells: Cells) -> Iterator[Layout]:
    """Measures of a study with one arm: a column for each first word, such as one measure of many criteria."""
    stems: dict[str, dict[str, Sweep]] = {}
    for one in alone:
        stem, _, rest = one.name.partition(" ")
        stems.setdefault(rest, {})[stem] = one
    for single in (True, False):
        chosen = {rest: found for rest, found in stems.items() if (rest == "") is single}
        units = {stem: one.unit for found in chosen.values() for stem, one in found.items()}
        lines = [
            (rest, *(_cell(cells.get((arm, found[stem].name))) if stem in found else "" for stem in units))
            for rest, found in chosen.items()
        ]
        yield Layout("", ("", *(in_words(stem, unit) for stem, unit in units.items())), tuple(lines))


def _by_number(sweep: Sweep, cells: Cells, axis: str | Mapping[str, str]) -> Layout:
    """A line for each number, a column for each arm or criterion."""
    of = {column: [cells.get(sweep.cells.get((column, label), ("", ""))) for label in sweep.labels]
          for column in sweep.columns}  # fmt: skip
    name, label = swept(sweep, axis)
    called = {WHOLE: "all"} if label == "layer" else {}
    lines = [
        (called.get(at, at), *(_cell(of[column][row]) for column in sweep.columns))
        for row, at in enumerate(sweep.labels)
    ]
    return Layout(name, (label, *sweep.columns), (("seeds", *_seeds(list(of.values()))), *lines))


def _seeds(found: Sequence[Sequence[Sequence[Row] | None]]) -> list[str]:
    """How many seeds each line or column has at least, where they differ."""
    counts = [min((rows[0].n for rows in one if rows), default=0) for one in found]
    return [str(count or "") for count in counts] if len({*counts} - {0}) > 1 else [""] * len(counts)


def _filled(table: Layout) -> Layout:
    """Without the lines and columns that are empty."""
    rows = [row for row in table.rows if any(row[1:])]
    kept = [at for at in range(len(table.columns)) if any(row[at] for row in rows)]
    return Layout(
        table.name, tuple(table.columns[at] for at in kept), tuple(tuple(row[at] for at in kept) for row in rows)
    )


def _cell(rows: Sequence[Row] | None) -> str:
    if not rows:
        return ""
    printed = [number(row.published) for row in rows if row.published is not None]
    return " ".join(filter(None, (ours(rows[0]), f"[{'; '.join(printed)}]" if printed else "")))


def ours(row: Row) -> str:
    """Mean and standard deviation over seeds.

    >>> ours(Row("a", "b", "%", None, 98.256, 0.1, 3, None, ""))
    '98.26 ± 0.10'
    """
    if row.ours is None or row.sd is None:
        return number(row.ours)
    return f"{number(row.ours)} ± {number(row.sd) if abs(row.ours) < SMALL else f'{row.sd:,.2f}'}"


def number(value: float | None) -> str:
    """Two decimals, or two digits of what is smaller; none from 100,000 on. With a true minus; nothing for None.

    >>> number(-1.5), number(0.01234), number(4000.0), number(None)
    ('−1.50', '0.012', '4,000', '')
    """
    if value is None:
        return ""
    if abs(value) >= 100_000 or (value == int(value) and abs(value) >= 1000):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.2g}" if 0 < abs(value) < SMALL else f"{value:,.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def brackets(rows: Sequence[Row]) -> str:
    """Where the figures in brackets were printed.

    >>> brackets([Row("a", "b", "%", 99.0, 98.0, None, 1, -1.0, "Table 1")])
    'Table 1'
    """
    return "; and ".join(dict.fromkeys(row.place for row in _known(rows) if row.published is not None))


def _known(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows that were measured; before any was, all of them."""
    return [row for row in rows if row.n] or rows


def in_words(measure: str, unit: str) -> str:
    """A measure's name and unit.

    >>> in_words("acc_all", "%")
    'acc all (%)'
    """
    return f"{measure.replace('_', ' ')}{' (' + unit + ')' if unit else ''}"


def swept(sweep: Sweep, axis: str | Mapping[str, str] = "") -> tuple[str, str]:
    """What a sweep shows, with its unit, and what its numbers are; ``axis`` is what a study says of it.

    >>> swept(Sweep("accuracy", "%", (), (), {}), "rate"), swept(Sweep("votes keep", "%", (), (), {}))
    (('accuracy (%) by rate', 'rate'), ('votes (%) by kept share', 'kept share'))
    """
    word = sweep.name.split()[-1]
    label = AXES.get(word) or (axis if isinstance(axis, str) else axis.get(word, ""))
    name = in_words(sweep.name.removesuffix(" keep"), sweep.unit)
    return (name if sweep.name.endswith(label) else f"{name} by {label}"), label
