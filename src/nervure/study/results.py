"""Results: what the trials of one profile gave, beside what was published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from nervure.errors import InputError
from nervure.study.grid import Trial
from nervure.study.records import Record
from nervure.study.statistics import Paired, Summary, Unpaired, against, summary, unpaired
from nervure.study.sweeps import WHOLE, Sweep, controls_of, series, split
from nervure.study.table import Published, Study

__all__ = ["Difference", "Results", "Row"]

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


class Difference(NamedTuple):
    """An arm, or a criterion of a study with one arm, held against a control by a measure, seed by seed.

    Without spread no test says anything, and the p are None.
    """

    measure: str
    column: str
    control: str
    n: int
    difference: float
    sd: float | None
    p_t: float | None
    p_w: float | None


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

    @property
    def absent(self) -> tuple[str, ...]:
        """Measures that no trial gave, once every arm was made: a name that the trials do not know, perhaps.

        A number at a name's end is not looked at: a small profile has fewer of them.
        """
        done = [record for record in self.records if record.done]
        if {record.trial.arm for record in done} != {trial.arm for trial in self.trials}:
            return ()
        given = {split(name)[0] for record in done for name in record.metrics}
        return tuple(name for name in self.study.measures if split(name)[0] not in given)

    @property
    def series(self) -> tuple[Sweep, ...]:
        """The study's curves, as far as trials gave them."""
        done = [record for record in self.records if record.done]
        made = {arm: [one.metrics for one in done if one.trial.arm == arm] for arm in self.study.arms}
        return series(self.study.curves, made)

    def values(self, arm: str, measure: str) -> dict[int, float]:
        """A measure by seed, in its unit."""
        factor = 100.0 if self.study.unit(measure) == "%" else 1.0
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
        ours, theirs = self._pair(arm, other, measure)
        found = against(ours, theirs)
        if found is None:
            raise InputError(
                f"{self.study.name}: {arm} and {other} have no seed of {measure} in common; make both first"
            )
        return found

    def unpaired(self, arm: str, other: str, measure: str) -> Unpaired:
        """``arm`` against ``other`` where seeds do not pair them, as of retrainings that share nothing but the base."""
        ours, theirs = self._pair(arm, other, measure)
        return unpaired(list(ours.values()), list(theirs.values()))

    def _pair(self, arm: str, other: str, measure: str) -> tuple[dict[int, float], dict[int, float]]:
        for one in (arm, other):
            if one not in self.study.arms:
                raise InputError(f"{self.study.name}: no arm {one!r}; there are: {', '.join(self.study.arms)}")
        return self.values(arm, measure), self.values(other, measure)

    def tests(self) -> list[Difference]:
        """Every difference to the study's controls: at each number of a sweep, and of each other measure."""
        found = []
        for sweep in (*self.study.sweeps, *self.study.plain):
            for label in sweep.labels:
                name = sweep.name if label == WHOLE else f"{sweep.name} {label}"
                for column in sweep.columns:
                    for control in controls_of(column, sweep.columns, self.study.controls):
                        ours, theirs = (self._cell(sweep.cells.get((one, label))) for one in (column, control))
                        test = against(ours, theirs)
                        if test is not None:
                            p = (test.p_t, test.p_w) if test.sd else (None, None)
                            found.append(Difference(name, column, control, test.n, test.difference, test.sd, *p))
        return found

    def _cell(self, cell: tuple[str, str] | None) -> dict[int, float]:
        return {} if cell is None else self.values(*cell)

    def rows(self) -> list[Row]:
        """A line for each arm, measure and published figure of it; one without a figure has a line too.

        A measure that an arm was made without, and that nobody printed of it, has none.
        """
        return [
            self._row(arm, measure, printed)
            for arm in self.study.arms
            for measure in self.study.measures
            for printed in self.printed(arm, measure) or ((None,) if self._has(arm, measure) else ())
        ]

    def _has(self, arm: str, measure: str) -> bool:
        made = [one for one in self.records if one.done and one.trial.arm == arm]
        return not made or any(measure in one.metrics for one in made)

    def printed(self, arm: str, measure: str) -> tuple[Published, ...]:
        """What was published of a measure of an arm."""
        return tuple(one for one in self.study.figures if (one.arm, one.measure) == (arm, measure))

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
            "by_layer": self.study.by_layer,
            "axis": self.study.axis,
            "notes": self.study.notes,
            "table": [row._asdict() for row in self.rows()],
            "tests": [one._asdict() for one in self.tests()],
            "published": [one.model_dump() for one in self.study.figures],
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
