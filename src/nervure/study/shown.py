"""What a study shows: tables shaped as printed ones, curves, bars, tests of differences, settings, and every trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nervure.evidence import Bars, Curve, Figure, Table
from nervure.study.environment import machine
from nervure.study.layout import brackets, in_words, layouts, swept
from nervure.study.results import Results
from nervure.study.side_by_side import curve
from nervure.study.sweeps import WHOLE, Sweep
from nervure.train import Recipe

__all__ = ["Shown", "figures", "machines", "settings_of", "shown"]

_TOLD = ("optimizer", "lr", "batch", "epochs", "schedule")  # of a recipe, also where it leaves them at their defaults
_CHANGED = ("cluster", "prune-iterative")  # trials whose recipe changes one with defaults of the method's own


class Shown(NamedTuple):
    """A study's evidence by what it is for; ``unmeasured`` lines of its table are left out."""

    tables: tuple[Table, ...]
    drawings: tuple[Figure, ...]
    tests: tuple[Table, ...]
    settings: Table
    trials: tuple[Table, ...]
    unmeasured: int


def figures(results: Results) -> tuple[Figure, ...]:
    """Everything that a study shows, as evidence.

    >>> from nervure.study.grid import grid
    >>> from nervure.study.table import load
    >>> study = load("mnist-lenet5")
    >>> [figure.title for figure in figures(Results(study, "smoke", grid(study, "smoke"), ()))]
    ['means over seeds ± standard deviation [published]', 'settings']
    """
    found = shown(results)
    return (*found.tables, *found.drawings, *found.tests, found.settings, *found.trials)


def shown(results: Results) -> Shown:
    """Tables and figures of what was measured; before anything was, the tables hold what was published.

    A sweep, such as accuracy by rate, is a table with its numbers as lines and arms as columns, and a curve.

    >>> from nervure.study.grid import grid
    >>> from nervure.study.table import load
    >>> study = load("sparsify-lenet5-mnist")
    >>> *_, rates, notes = shown(Results(study, "cpu", grid(study, "cpu"), ())).tables
    >>> rates.columns[:3], rates.rows[0][:3]
    (('share of edges removed', 'base', 'l1'), ('none', '[98.79]', '[98.22]'))
    >>> [what for what, _ in notes.rows]
    ['dropout', 'lottery', 'lottery-equal']
    """
    lines = results.rows()
    made = any(row.n for row in lines)
    sweeps = results.study.sweeps
    drawn = [_curve(results, sweep) for sweep in (*sweeps, *results.series)] if made else []
    several = len(results.study.arms) > 1
    bars = [_bars(results, one.name) for one in results.study.plain if several and _columns(results, one)]
    return Shown(
        _tables(results),
        tuple(one for one in drawn if one is not None) + tuple(bars if made else ()),
        _tests(results),
        _settings(results),
        (_trials(results),) if made else (),
        sum(not row.n for row in lines) if made else 0,
    )


def machines(results: Results) -> str:
    """What the trials were made on, each environment once.

    >>> from nervure.study.table import load
    >>> machines(Results(load("digits-lenet5"), "smoke", (), ()))
    ''
    """
    return "; ".join(map(machine, results.environments()))


def settings_of(results: Results, *, arms: bool = True) -> dict[str, str]:
    """The data and the settings of a profile by name, of recipes also defaults; then those that arms differ in, by arm.

    >>> from nervure.study.grid import grid
    >>> from nervure.study.table import load
    >>> study = load("digits-lenet5")
    >>> found = settings_of(Results(study, "smoke", grid(study, "smoke"), ()))
    >>> found["data"], found["recipe epochs"], found["recipe batch"]
    ('digits', '2', '64')
    """
    study = results.study
    usual = {} if study.trial in _CHANGED else {told: Recipe.model_fields[told].default for told in _TOLD}
    each = {arm: _flat(study.trial_settings(arm, results.profile), usual) for arm in study.arms}
    names = dict.fromkeys(name for one in each.values() for name in one)
    shared = [name for name in names if len({one.get(name) for one in each.values()}) == 1]
    first = next(iter(each.values()))
    return {
        "data": study.data.source,
        **_flat({"data": study.data.options}, usual),
        "trial": study.trial,
        "seeds": str(len({trial.seed for trial in results.trials})),
        **{name: first[name] for name in shared},
        **{
            f"{arm}: {name}": value
            for arm, one in each.items()
            for name, value in one.items()
            if arms and name not in shared
        },
    }  # fmt: skip


def _flat(settings: Mapping[str, object], usual: Mapping[str, object], above: str = "") -> dict[str, str]:
    """Settings by the names that lead to them; of a recipe also what is ``usual``."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{above} {key}".strip()
        if isinstance(value, Mapping):
            found |= _flat({**usual, **value} if key == "recipe" else value, usual, name)
        else:
            found[name] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return found


def _settings(results: Results) -> Table:
    rows = list(settings_of(results).items())
    return Table(
        title="settings",
        alt=f"{len(rows)} settings; one that arms differ in has the arm before it.",
        columns=("setting", "value"),
        rows=rows,
    )


def _values(results: Results, sweep: Sweep, column: str, label: str) -> list[float]:
    cell = sweep.cells.get((column, label))
    return [] if cell is None else list(results.values(*cell).values())


def _columns(results: Results, sweep: Sweep) -> list[str]:
    """The columns of which anything was measured."""
    return [one for one in sweep.columns if any(_values(results, sweep, one, label) for label in sweep.labels)]


def _tables(results: Results) -> tuple[Table, ...]:
    """Single measures, and each sweep, as papers print them; then what must be known of arms to read them."""
    rows, study = results.rows(), results.study
    printed = brackets(rows)
    said = f", in brackets what was published: {printed}." if printed else "."
    heading = f"means over seeds ± standard deviation{' [published]' if printed else ''}"
    made = tuple(
        Table(
            title=one.name or heading,
            alt=f"Means over seeds and standard deviations{said}",
            columns=one.columns,
            rows=one.rows,
        )
        for one in layouts(tuple(study.arms), rows, by_layer=study.by_layer, axis=study.axis)
    )
    return (*made, _notes(study.notes)) if study.notes else made


def _notes(notes: Mapping[str, str]) -> Table:
    return Table(
        title="how to read them",
        alt=f"What {', '.join(notes)} stand for in the tables.",
        columns=("what", "note"),
        rows=tuple(notes.items()),
    )


def _curve(results: Results, sweep: Sweep) -> Curve | None:
    """A line a column through the means over seeds; one that has no number, such as a dense network's, is level."""
    columns = _columns(results, sweep)
    rows = {one: [_values(results, sweep, one, label) for label in sweep.numbers] for one in columns}
    kept = [at for at in range(len(sweep.numbers)) if any(row[at] for row in rows.values())]
    if len(kept) < 2:
        return None
    levels = {one: [_values(results, sweep, one, WHOLE)] * len(sweep.numbers) for one in columns}
    lines = {one: row if any(row) else levels[one] for one, row in rows.items()}
    name, label = swept(sweep, results.study.axis)
    return curve(
        {column: [row[at] for at in kept] for column, row in lines.items()},
        [float(sweep.numbers[at]) for at in kept],
        name,
        x_label=label,
        y_label=sweep.unit,
        what=name.capitalize(),
    )


def _bars(results: Results, measure: str) -> Bars:
    unit = in_words(measure, results.study.measures[measure])
    arms = [arm for arm in results.study.arms if results.summary(arm, measure).n]
    found = [results.summary(arm, measure) for arm in arms]
    series = {"ours": ([one.mean for one in found], [one.sd for one in found])}
    printed = [one for arm in arms for one in results.printed(arm, measure)]
    several = len({one.arm for one in printed}) < len(printed)
    for place in dict.fromkeys(one.place if several else "published" for one in printed):
        values = {one.arm: one.value for one in printed if not several or one.place == place}
        series[place] = ([values.get(arm) for arm in arms], [None] * len(arms))
    best = ", ".join(f"{arm} {one.mean:.4g}" for arm, one in zip(arms, found, strict=True))
    return Bars(
        title=unit,
        alt=f"Mean over seeds, with one standard deviation: {best}.",
        values=np.array([values for values, _ in series.values()], dtype=np.float64),
        spread=np.array([spread for _, spread in series.values()], dtype=np.float64),
        bars=arms,
        series=tuple(series),
        y_label=unit,
    )


def _tests(results: Results) -> tuple[Table, ...]:
    rows = [
        (one.measure, one.column, one.control, one.n, one.difference, one.sd, one.p_t, one.p_w)
        for one in results.tests()
    ]
    if not rows:
        return ()
    return (
        Table(
            title="differences to controls",
            alt="Mean difference seed by seed, its standard deviation, and the two-sided p of Student's paired t and "
            "of Wilcoxon's signed ranks; differences that no seed changes have no p.",
            columns=("measure", "what", "against", "n", "difference", "sd", "p of t", "p of Wilcoxon"),
            rows=rows,
        ),
    )


def _trials(results: Results) -> Table:
    done = [record for record in results.records if record.done]
    measures = [name for name in results.study.measures if any(name in one.metrics for one in done)]
    return Table(
        title="every trial",
        alt=f"Measures and seconds of {len(done)} trials, each by arm and seed.",
        columns=("arm", "seed", *(in_words(name, results.study.measures[name]) for name in measures), "seconds"),
        rows=[
            (
                record.trial.arm,
                record.trial.seed,
                *(results.values(record.trial.arm, name).get(record.trial.seed) for name in measures),
                record.durations.get("total"),
            )
            for record in done
        ],
    )
