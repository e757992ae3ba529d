"""Results: what the trials of one profile gave, beside what was published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nervure.errors import InputError
from nervure.evidence import Bars, Figure, Table
from nervure.study.grid import Trial
from nervure.study.records import Record
from nervure.study.statistics import Paired, Summary, paired, summary
from nervure.study.table import Published, Study

__all__ = ["Results", "Row", "figures"]

SCHEMA = 1


class Row(NamedTuple):
    """One line of a study's table, in the measure's unit; difference is ours minus the published figure."""

    arm: str
    measure: str
    unit: str
    published: float | None
    ours: float | None
    sd: float | None
    n: int
    difference: float | None
    place: str


@dataclass(frozen=True, eq=False)
class Results:
    """What is known of one profile of a study; never of several.

    ``trials`` is all that the profile asks for, ``records`` what there is of it.

    Examples
    --------
    >>> from nervure.study.grid import grid
    >>> from nervure.study.table import load
    >>> study = load("digits-lenet5")
    >>> trials = grid(study, "smoke")
    >>> results = Results(study, "smoke", trials, (Record(trials[0], {"accuracy": 0.5, "log_loss": 1.0}),))
    >>> results.missing, results.rows()[0].ours, results.rows()[0].n
    (1, 50.0, 1)
    """

    study: Study
    profile: str
    trials: tuple[Trial, ...]
    records: tuple[Record, ...]

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records of trials that failed."""
        return tuple(record for record in self.records if not record.done)

    @property
    def missing(self) -> int:
        """How many trials were not made yet."""
        return len(self.trials) - len(self.records)

    def values(self, arm: str, measure: str) -> dict[int, float]:
        """A measure by seed, in its unit."""
        factor = 100.0 if self.study.measures.get(measure) == "%" else 1.0
        return {
            record.trial.seed: factor * record.metrics[measure]
            for record in self.records
            if record.done and record.trial.arm == arm and measure in record.metrics
        }

    def summary(self, arm: str, measure: str) -> Summary:
        """Number, mean and spread over seeds, in the measure's unit."""
        return summary(list(self.values(arm, measure).values()))

    def paired(self, arm: str, other: str, measure: str) -> Paired:
        """``arm`` against ``other`` on the seeds that both have."""
        for one in (arm, other):
            if one not in self.study.arms:
                raise InputError(f"{self.study.name}: no arm {one!r}; there are: {', '.join(self.study.arms)}")
        ours, theirs = self.values(arm, measure), self.values(other, measure)
        seeds = sorted(ours.keys() & theirs.keys())
        return paired([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds])

    def rows(self) -> list[Row]:
        """A line for each arm, measure and published figure of it; one without a figure has a line too.

        A measure that an arm was made without, and that nobody printed of it, has none.
        """
        return [
            self._row(arm, measure, printed)
            for arm in self.study.arms
            for measure in self.study.measures
            for printed in self._printed(arm, measure) or ((None,) if self._has(arm, measure) else ())
        ]

    def _has(self, arm: str, measure: str) -> bool:
        made = [one for one in self.records if one.done and one.trial.arm == arm]
        return not made or any(measure in one.metrics for one in made)

    def _printed(self, arm: str, measure: str) -> tuple[Published, ...]:
        return tuple(one for one in self.study.published if (one.arm, one.measure) == (arm, measure))

    def _row(self, arm: str, measure: str, printed: Published | None) -> Row:
        n, mean, sd = self.summary(arm, measure)
        value = None if printed is None else printed.value
        difference = None if mean is None or value is None else mean - value
        place = "" if printed is None else printed.place
        return Row(arm, measure, self.study.measures[measure], value, mean, sd, n, difference, place)

    def environments(self) -> list[dict[str, str | int]]:
        """Each environment that a trial ran in, once."""
        texts = {json.dumps(record.environment, sort_keys=True) for record in self.records if record.done}
        return [json.loads(text) for text in sorted(texts)]

    def to_json(self) -> dict[str, object]:
        """As plain JSON data: table, settings, environments, durations, and every trial."""
        environments = self.environments()
        return {
            "schema": SCHEMA,
            "study": self.study.name,
            "what": self.study.what,
            "profile": self.profile,
            "size": self.study.profile(self.profile).what,
            "data": {"source": self.study.data.source, "options": self.study.data.options},
            "table": [row._asdict() for row in self.rows()],
            "published": [one.model_dump() for one in self.study.published],
            "unpublished": self.study.unpublished,
            "settings": {arm: self.study.trial_settings(arm, self.profile) for arm in self.study.arms},
            "environments": environments,
            "seconds": round(sum(record.durations.get("total", 0.0) for record in self.records), 3),
            "missing": self.missing,
            "trials": [
                {
                    "key": record.trial.key,
                    "arm": record.trial.arm,
                    "seed": record.trial.seed,
                    "metrics": record.metrics,
                    "durations": record.durations,
                    "environment": environments.index(record.environment) if record.done else None,
                    "error": record.error,
                }
                for record in self.records
            ],
        }


def figures(results: Results) -> tuple[Figure, ...]:
    """The study as evidence: published beside ours, as a table and, of several arms, as bars; and every trial.

    >>> from nervure.study.grid import grid
    >>> from nervure.study.table import load
    >>> study = load("digits-lenet5")
    >>> [figure.kind for figure in figures(Results(study, "smoke", grid(study, "smoke"), ()))]
    ['table']
    """
    found: list[Figure] = [_table(results)]
    if any(record.done for record in results.records):
        if len(results.study.arms) > 1:
            found += [_bars(results, measure) for measure in results.study.measures]
        found.append(_trials(results))
    return tuple(found)


def _title(results: Results) -> str:
    return f"{results.study.name}, profile {results.profile}"


def _unit(measure: str, unit: str) -> str:
    name = measure.replace("_", " ")
    return f"{name} ({unit})" if unit else name


def _table(results: Results) -> Table:
    rows = results.rows()
    printed = any(row.published is not None for row in rows)
    known = sum(row.ours is not None for row in rows)
    return Table(
        title=f"{_title(results)}: {'published and ours' if printed else 'ours; nothing was published'}",
        alt=f"{len(rows)} lines, {known} of them measured; mean and standard deviation over seeds.",
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


def _bars(results: Results, measure: str) -> Bars:
    unit = _unit(measure, results.study.measures[measure])
    arms = [arm for arm in results.study.arms if results.summary(arm, measure).n]
    found = [results.summary(arm, measure) for arm in arms]
    series = {"ours": ([one.mean for one in found], [one.sd for one in found])}
    for place in dict.fromkeys(one.place for one in results.study.published if one.measure == measure):
        printed = {
            one.arm: one.value for one in results.study.published if (one.measure, one.place) == (measure, place)
        }
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


def _trials(results: Results) -> Table:
    measures = tuple(results.study.measures)
    done = [record for record in results.records if record.done]
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
