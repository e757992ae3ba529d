"""compare_pruning: criteria by kept shares by seeds on one network, in parallel processes, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from nervure.data import Dataset
from nervure.errors import InputError
from nervure.evidence import Curve, Figure, Matrix, Scatter, Table
from nervure.prune.criteria import criteria as known
from nervure.prune.recover import check
from nervure.store import Run
from nervure.study.results import Results
from nervure.study.run import Progress
from nervure.study.run import run as run_study
from nervure.study.side_by_side import asked, base_settings, curve, front, study_of
from nervure.study.statistics import against

__all__ = ["Comparison", "compare_pruning", "reached"]

CONTROLS = ("random", "l1")  # each criterion is held against these, if they take part

STAGES = {"pruned": "as cut", "recovered": "after recovery", "tuned": "after training"}

# What a network is judged by: the first of these that was measured.
QUALITIES = {"accuracy": "%", "acc": "%", "rmse": "", "mse": ""}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison gave: the trials of pruning, those of agreement, and what they were about."""

    results: Results
    agreement: Results
    criteria: tuple[str, ...]
    keep: tuple[float, ...]

    def values(self, criterion: str, keep: float, measure: str) -> np.ndarray:
        """A measure's values over seeds (seeds,)."""
        return np.array(list(self.results.values(arm(criterion, keep), measure).values()))

    @property
    def quality(self) -> str:
        """What networks are judged by: accuracy, and of other tasks an error, of which less is better."""
        made = {name for record in self.results.records if record.done for name in record.metrics}
        return next((name for name in QUALITIES if f"{name}_pruned" in made), "accuracy")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that were measured, in order; the last is what criteria are compared by."""
        made = {name for record in self.results.records if record.done for name in record.metrics}
        return tuple(stage for stage in STAGES if f"{self.quality}_{stage}" in made)

    def table(self) -> Table:
        """A line for each criterion and kept share: quality at each stage, cost, and differences to controls."""
        columns = (
            "criterion", "keep", "seeds", "parameters", "MACs share", *self.stages, "sd",
            *(f"{way} {control}" for control in self._controls for way in ("against", "p of")),
            "latency ms", "speed-up", "selected s",
        )  # fmt: skip
        rows = [self._line(criterion, keep) for keep in self.keep for criterion in self.criteria]
        alt = f"{len(self.criteria)} criteria at {len(self.keep)} kept shares; {self._said}.{self._uncut()}"
        return Table(title="Criteria side by side", alt=alt, columns=columns, rows=[row for row in rows if row])

    def figures(self) -> tuple[Figure, ...]:
        """Quality against kept share at each stage, the Pareto front, agreement, and the table."""
        curves = [self._curve(stage) for stage in self.stages]
        found = [*curves, *([self._front()] if curves else []), self.table()]
        if self.agreement.records and not self.agreement.failed:
            found.append(self._matrix())
        return tuple(found)

    @property
    def _said(self) -> str:
        return f"{self.quality}, %" if QUALITIES[self.quality] else f"{self.quality}, of which less is better"

    def _uncut(self) -> str:
        first = self.results.study.arms
        names = (f"{self.quality}_base", "latency_ms_base")
        found = {name: one for name in names for arm in first if (one := self.results.summary(arm, name)).n}
        shown = [f"{name.removesuffix('_base').replace('_', ' ')} {one.mean:.4g}" for name, one in found.items()]
        return f" Uncut: {', '.join(shown)}." if shown else ""

    @property
    def _controls(self) -> tuple[str, ...]:
        return tuple(control for control in CONTROLS if control in self.criteria)

    def _line(self, criterion: str, keep: float) -> list[str | int | float | None]:
        named = arm(criterion, keep)
        stages = [self.results.summary(named, f"{self.quality}_{stage}") for stage in self.stages]
        if not stages or not stages[-1].n:
            return []
        line: list[str | int | float | None] = [criterion, keep, stages[-1].n]
        line += [float(self.values(criterion, keep, name).mean()) for name in ("parameters", "macs_share")]
        line += [*(one.mean for one in stages), stages[-1].sd]
        for control in self._controls:
            measure = f"{self.quality}_{self.stages[-1]}"
            values = [self.results.values(one, measure) for one in (named, arm(control, keep))]
            found = None if control == criterion else against(*values)
            line += [None, None] if found is None else [found.difference, found.p_t if found.sd else None]
        line += [float(np.median(self.values(criterion, keep, name))) for name in ("latency_ms", "speedup")]
        done = [one for one in self.results.records if one.done and one.trial.arm == named]
        return [*line, float(np.mean([one.durations["select"] for one in done]))]

    def _curve(self, stage: str) -> Curve:
        measure = f"{self.quality}_{stage}"
        values = {one: [self.values(one, keep, measure) for keep in self.keep] for one in self.criteria}
        title = f"{self.quality.capitalize()} {STAGES[stage]}"
        return curve(
            values, self.keep, title, x_label="kept share of units", y_label=self._said, what=f"Test {self.quality}"
        )

    def _front(self) -> Scatter:
        last = self.stages[-1]
        places = [
            (number, name, keep)
            for number, name in enumerate(self.criteria)
            for keep in self.keep
            if len(self.values(name, keep, f"{self.quality}_{last}"))
        ]
        points = [
            (self.values(name, keep, "macs_share").mean(), self.values(name, keep, f"{self.quality}_{last}").mean())
            for _, name, keep in places
        ]
        better = 1 if QUALITIES[self.quality] else -1
        best = front([cost for cost, _ in points], [better * quality for _, quality in points])
        named = ", ".join(f"{places[at][1]} at {places[at][2]}" for at in best)
        return Scatter(
            title=f"{self.quality.capitalize()} against cost, and the Pareto front",
            alt=f"Each point is a criterion at a kept share: share of multiply-adds, {self.quality} {STAGES[last]}. "
            f"A line joins those that no other beats: {named}.",
            points=np.array(points).reshape(-1, 2),
            joined=np.array(best, dtype=np.int64),
            groups=np.array([number for number, _, _ in places]),
            labels=self.criteria,
            hover=[f"{name}, keep {keep}" for _, name, keep in places],
            x_label="share of multiply-adds",
            y_label=self._said,
        )

    def _matrix(self) -> Matrix:
        tau = [
            [self.agreement.summary("base", f"tau {a} {b}").mean or 0.0 for b in self.criteria] for a in self.criteria
        ]
        return Matrix(
            title="Agreement (Kendall's tau)",
            alt="How far two criteria agree on the order of units: 1 the same, 0 unrelated; the mean over layers.",
            values=np.array(tau),
            rows=self.criteria,
            columns=self.criteria,
        )


def reached(metrics: Mapping[str, float]) -> tuple[str, float] | None:
    """What a trial's network is judged by, and how good it is after the last stage; None if it was not judged.

    >>> reached({"rmse_base": 1.0, "rmse_pruned": 3.0, "rmse_recovered": 2.0})
    ('rmse', 2.0)
    """
    for name in QUALITIES:
        for stage in reversed(STAGES):
            if f"{name}_{stage}" in metrics:
                return name, metrics[f"{name}_{stage}"]
    return None


def arm(criterion: str, keep: float) -> str:
    """What a study calls one criterion at one kept share."""
    return f"{criterion} keep {keep:g}"


def compare_pruning(
    net: Run | nn.Module | str | Path,
    ds: Dataset,
    *,
    criteria: Sequence[str],
    keep: Sequence[float] = (0.7, 0.5, 0.3),
    seeds: int = 3,
    out: Path | str,
    recover: Sequence[str] = ("kernel-estimation", "batch-norm"),
    recover_options: Mapping[str, object] | None = None,
    samples: int = 1000,
    tune: dict[str, object] | None = None,
    build: str | None = None,
    jobs: int = 1,
    minutes: float | None = None,
    threads: int | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Comparison:
    """Hold criteria side by side on one network: each prunes it to each kept share, with each seed.

    Parameters
    ----------
    net : Run, module of ours, or a run's folder
        What is pruned; the network itself is not changed.
    ds : Dataset
        Data with a source, because each trial loads it in a process of its own.
    criteria, keep, seeds
        Names, kept shares, and how many seeds; a seed draws the samples that criteria and recovery see.
    out : path
        A folder; what it holds already is not done again.
    recover, recover_options, samples, tune
        Methods of recovery in order, their settings as :func:`nervure.prune.recover.recover` takes them, how many
        samples criteria see, and a recipe to train by afterwards.
    build : str, optional
        The ``package.module:function`` that made the run's network, if it was your own.
    jobs, minutes, threads, device, data_dir, progress, stop
        As in :func:`nervure.study.run`.
    """
    for name in criteria:
        known.row(name)
    if bad := [share for share in keep if not 0 < share <= 1]:
        raise InputError(f"keep {bad[0]}: give shares above 0 and up to 1")
    mending = dict(recover_options or {})
    check(recover, **mending)  # type: ignore[arg-type]
    asked(criteria, keep, "kept share", ds)
    common = {**base_settings(net, ds, Path(out), build), "samples": samples}
    arms: dict[str, dict[str, object]] = {
        arm(name, share): {"criterion": name, "target": {"keep": float(share)}} for share in keep for name in criteria
    }
    recovering: dict[str, object] = {"recover": list(recover), **({"recover_options": mending} if mending else {})}
    study = study_of(
        "pruning", ds, {**common, **recovering, "tune": tune}, arms, seeds, trial="prune",
        measures={f"{name}_{stage}": unit for name, unit in QUALITIES.items() for stage in ("base", *STAGES)}
        | dict.fromkeys(("parameters", "macs_share", "latency_ms", "speedup"), ""),
    )  # fmt: skip
    names = list(criteria)
    agreement = study_of(
        "agreement", ds, {**common, "criteria": names}, {"base": {}}, 1, trial="prune-agreement",
        measures={f"tau {a} {b}": "" for a in names for b in names},
    )  # fmt: skip
    options = {
        "out": out, "jobs": jobs, "threads": threads, "device": device, "data_dir": data_dir, "minutes": minutes,
        "progress": progress, "stop": stop,
    }  # fmt: skip
    results = run_study(study, "cpu", **options)  # type: ignore[arg-type]
    return Comparison(results, run_study(agreement, "cpu", **options), tuple(criteria), tuple(keep))  # type: ignore[arg-type]
