"""What a study shows: tables shaped as printed ones, curves, bars, tests of differences, settings, and every trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nervure.evidence import Bars, Curve, Figure, Table
from nervure.study.results import Results
from nervure.study.side_by_side import curve
from nervure.study.sweeps import WHOLE, Sweep
from nervure.train import Recipe

__all__ = ["Shown", "figures", "machines", "settings_of", "shown"]

_AXES = {"layer": "layer", "keep": "kept share", "cycle": "cycle"}
_TOLD = ("optimizer", "lr", "batch", "epochs", "schedule")  # of a recipe, also where it leaves them at their defaults
_CHANGED = (
    "cluster",
    "prune-iterative",
)  # trials whose recipe changes one that the method has, with defaults of its own

Line = list[str | int | float | None]


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
    >>> study = load("digits-lenet5")
    >>> [figure.title for figure in figures(Results(study, "smoke", grid(study, "smoke"), ()))]
    ['digits-lenet5, profile smoke: ours; nothing was published', 'digits-lenet5, profile smoke: settings']
    """
    found = shown(results)
    return (*found.tables, *found.drawings, *found.tests, found.settings, *found.trials)


def shown(results: Results) -> Shown:
    """Tables and figures of what was measured; before anything was, the tables hold what was published.

    A sweep, such as accuracy by rate, is a table with its numbers as lines and arms as columns, and a curve.

    >>> from nervure.study.grid import grid
    >>> from nervure.study.table import load
    >>> study = load("sparsify-lenet5-mnist")
    >>> table, pivot = shown(Results(study, "cpu", grid(study, "cpu"), ())).tables
    >>> pivot.columns[:4], pivot.rows[0][:4]
    (('share of edges removed', 'figure', 'base', 'l1'), ('none', 'published', 98.79, 98.22))
    """
    lines = results.rows()
    made = any(row.n for row in lines)
    sweeps = results.study.sweeps
    drawn = [_curve(results, sweep) for sweep in (*sweeps, *results.series)] if made else []
    several = len(results.study.arms) > 1
    bars = [_bars(results, one.name) for one in results.study.plain if several and _columns(results, one)]
    return Shown(
        tuple(one for one in (_table(results, made), *(_pivot(results, sweep, made) for sweep in sweeps)) if one.rows),
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
    return "; ".join(
        f"{one['device']} ({one['cpu']}), {one['threads']} threads, torch {one['torch']}"
        for one in results.environments()
    )


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
        title=f"{_title(results)}: settings",
        alt=f"{len(rows)} settings; one that arms differ in has the arm before it.",
        columns=("setting", "value"),
        rows=rows,
    )


def _title(results: Results) -> str:
    return f"{results.study.name}, profile {results.profile}"


def _unit(measure: str, unit: str) -> str:
    name = measure.replace("_", " ")
    return f"{name} ({unit})" if unit else name


def _swept(sweep: Sweep) -> str:
    """What a sweep shows, and its unit."""
    name = sweep.name.removesuffix(" keep")
    return _unit(sweep.name if name == sweep.name else f"{name} by kept share", sweep.unit)


def _values(results: Results, sweep: Sweep, column: str, label: str) -> list[float]:
    cell = sweep.cells.get((column, label))
    return [] if cell is None else list(results.values(*cell).values())


def _columns(results: Results, sweep: Sweep) -> list[str]:
    """The columns of which anything was measured."""
    return [one for one in sweep.columns if any(_values(results, sweep, one, label) for label in sweep.labels)]


def _table(results: Results, made: bool) -> Table:
    inside = {cell for sweep in results.study.sweeps for cell in sweep.cells.values()}
    rows = [row for row in results.rows() if (row.arm, row.measure) not in inside and (row.n or not made)]
    printed = any(row.published is not None for row in rows)
    alone = "ours" if results.study.published else "ours; nothing was published"
    return Table(
        title=f"{_title(results)}: {'published and ours' if printed else alone}",
        alt=f"{len(rows)} lines; mean and standard deviation over seeds.",
        columns=("arm", "measure", "published", "ours", "spread", "n", "difference", "printed in"),
        rows=[
            (
                row.arm,
                _unit(row.measure, row.unit),
                row.published,
                row.ours,
                row.sd,
                row.n,
                row.difference,
                row.place,
            )
            for row in rows
        ],
    )


def _pivot(results: Results, sweep: Sweep, made: bool) -> Table:
    """A line for each number and kind of figure: published ones, our mean, our spread."""
    columns = _columns(results, sweep) if made else list(sweep.columns)
    several = any(len(results.printed(*cell)) > 1 for cell in sweep.cells.values())
    printed = {
        at: {one.place if several else "published": one.value for one in results.printed(*cell)}
        for at, cell in sweep.cells.items()
    }
    places = dict.fromkeys(place for found in printed.values() for place in found)
    works = dict.fromkeys(one.place for cell in sweep.cells.values() for one in results.printed(*cell))
    rows: list[Line] = [[None, "seeds", *(_seeds(results, sweep, one) for one in columns)]] if made else []
    for label in sweep.labels:
        ours = [results.summary(*cell) if (cell := sweep.cells.get((one, label))) else None for one in columns]
        if made and not any(one is not None and one.n for one in ours):
            continue
        for place in places:
            values = [printed.get((one, label), {}).get(place) for one in columns]
            if any(one is not None for one in values):
                rows.append([label, place, *values])
        if made:
            rows.append([label, "ours", *(None if one is None else one.mean for one in ours)])
            if any(one is not None and one.sd is not None for one in ours):
                rows.append([label, "spread", *(None if one is None else one.sd for one in ours)])
    said = f" Printed in {'; '.join(works)}." if works else ""
    return Table(
        title=f"{_title(results)}: {_swept(sweep)}",
        alt=f"By {_axis(results, sweep) or 'number'}, for {len(columns)} columns: mean and standard deviation.{said}",
        columns=(_axis(results, sweep), "figure", *columns),
        rows=rows if columns else (),
    )


def _seeds(results: Results, sweep: Sweep, column: str) -> int:
    """How many seeds every value of a column has at least."""
    counts = [len(_values(results, sweep, column, label)) for label in sweep.labels]
    return min(count for count in counts if count)


def _curve(results: Results, sweep: Sweep) -> Curve | None:
    """A line a column through the means over seeds; one that has no number, such as a dense network's, is level."""
    columns = _columns(results, sweep)
    rows = {one: [_values(results, sweep, one, label) for label in sweep.numbers] for one in columns}
    kept = [at for at in range(len(sweep.numbers)) if any(row[at] for row in rows.values())]
    if len(kept) < 2:
        return None
    levels = {one: [_values(results, sweep, one, WHOLE)] * len(sweep.numbers) for one in columns}
    lines = {one: row if any(row) else levels[one] for one, row in rows.items()}
    return curve(
        {column: [row[at] for at in kept] for column, row in lines.items()},
        [float(sweep.numbers[at]) for at in kept],
        f"{_title(results)}: {_swept(sweep)}",
        x_label=_axis(results, sweep),
        y_label=sweep.unit,
        what=_swept(sweep).capitalize(),
    )


def _axis(results: Results, sweep: Sweep) -> str:
    axis, word = results.study.axis, sweep.name.split()[-1]
    return _AXES.get(word) or (axis if isinstance(axis, str) else axis.get(word, ""))


def _bars(results: Results, measure: str) -> Bars:
    unit = _unit(measure, results.study.measures[measure])
    arms = [arm for arm in results.study.arms if results.summary(arm, measure).n]
    found = [results.summary(arm, measure) for arm in arms]
    series = {"ours": ([one.mean for one in found], [one.sd for one in found])}
    for place in dict.fromkeys(one.place for one in results.study.figures if one.measure == measure):
        printed = {one.arm: one.value for one in results.study.figures if (one.measure, one.place) == (measure, place)}
        series[place] = ([printed.get(arm) for arm in arms], [None] * len(arms))
    best = ", ".join(f"{arm} {one.mean:.4g}" for arm, one in zip(arms, found, strict=True))
    return Bars(
        title=f"{_title(results)}: {unit}",
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
            title=f"{_title(results)}: differences to controls",
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
        title=f"{_title(results)}: every trial",
        alt=f"Measures and seconds of {len(done)} trials, each by arm and seed.",
        columns=("arm", "seed", *(_unit(name, results.study.measures[name]) for name in measures), "seconds"),
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
