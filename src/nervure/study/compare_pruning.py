"""compare_pruning: criteria by kept shares by seeds on one network, in parallel processes, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from nervure.data import Dataset
from nervure.errors import InputError
from nervure.evidence import Curve, Figure, Matrix, Scatter, Table
from nervure.prune.criteria import criteria as known
from nervure.store import Run
from nervure.study.results import Results
from nervure.study.run import Progress
from nervure.study.run import run as run_study
from nervure.study.side_by_side import asked, curve, placed, study_of

__all__ = ["Comparison", "compare_pruning"]

CONTROLS = ("random", "l1")  # each criterion is held against these, if they take part


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

    def table(self) -> Table:
        """A line for each criterion and kept share: accuracy before and after recovery, cost, and against controls."""
        columns = (
            "criterion", "keep", "seeds", "MACs share", "pruned", "recovered", "sd",
            *(f"{way} {control}" for control in self._controls for way in ("against", "p of")),
            "speed-up", "selected s",
        )  # fmt: skip
        rows = [self._line(criterion, keep) for keep in self.keep for criterion in self.criteria]
        alt = f"{len(self.criteria)} criteria at {len(self.keep)} kept shares; accuracies in per cent."
        return Table(title="Criteria side by side", alt=alt, columns=columns, rows=[row for row in rows if row])

    def figures(self) -> tuple[Figure, ...]:
        """Accuracy against kept share before and after recovery, the Pareto front, agreement, and the table."""
        stages = [("pruned", "as cut"), ("recovered", "after recovery")]
        curves = [self._curve(stage, said) for stage, said in stages]
        found = [*curves, self._front(), self.table()]
        if self.agreement.records and not self.agreement.failed:
            found.append(self._matrix())
        return tuple(found)

    @property
    def _controls(self) -> tuple[str, ...]:
        return tuple(control for control in CONTROLS if control in self.criteria)

    def _line(self, criterion: str, keep: float) -> list[str | int | float | None]:
        recovered = self.results.summary(arm(criterion, keep), "accuracy_recovered")
        if not recovered.n:
            return []
        line: list[str | int | float | None] = [
            criterion,
            keep,
            recovered.n,
            float(self.values(criterion, keep, "macs_share").mean()),
            self.results.summary(arm(criterion, keep), "accuracy_pruned").mean,
            recovered.mean,
            recovered.sd,
        ]
        for control in self._controls:
            if control == criterion:
                line += [None, None]
                continue
            against = self.results.paired(arm(criterion, keep), arm(control, keep), "accuracy_recovered")
            line += [against.difference, against.p_t]
        line.append(float(np.median(self.values(criterion, keep, "speedup"))))
        done = [one for one in self.results.records if one.done and one.trial.arm == arm(criterion, keep)]
        line.append(float(np.mean([one.durations["select"] for one in done])))
        return line

    def _curve(self, stage: str, said: str) -> Curve:
        values = {one: [self.values(one, keep, f"accuracy_{stage}") for keep in self.keep] for one in self.criteria}
        return curve(values, self.keep, f"Accuracy {said}", x_label="kept share of units")

    def _front(self) -> Scatter:
        places = [(number, criterion, keep) for number, criterion in enumerate(self.criteria) for keep in self.keep]
        points = [
            (self.values(name, keep, "macs_share").mean(), self.values(name, keep, "accuracy_recovered").mean())
            for _, name, keep in places
            if len(self.values(name, keep, "macs_share"))
        ]
        kept = [place for place in places if len(self.values(place[1], place[2], "macs_share"))]
        return Scatter(
            title="Accuracy against cost",
            alt="Each point is a criterion at a kept share: share of multiply-adds, and accuracy after recovery.",
            points=np.array(points).reshape(-1, 2),
            groups=np.array([number for number, _, _ in kept]),
            labels=self.criteria,
            hover=[f"{name}, keep {keep}" for _, name, keep in kept],
            x_label="share of multiply-adds",
            y_label="accuracy, %",
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
    samples: int = 1000,
    tune: dict[str, object] | None = None,
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
    recover, samples, tune
        Methods of recovery in order, how many samples criteria see, and a recipe to train by afterwards.
    jobs, minutes, threads, device, data_dir, progress, stop
        As in :func:`nervure.study.run`.
    """
    for name in criteria:
        known.row(name)
    if bad := [share for share in keep if not 0 < share <= 1]:
        raise InputError(f"keep {bad[0]}: give shares above 0 and up to 1")
    asked(criteria, keep, "kept share")
    place = placed(net, ds, Path(out))
    common: dict[str, object] = {"run": str(place), "samples": samples}
    arms: dict[str, dict[str, object]] = {
        arm(name, share): {"criterion": name, "target": {"keep": float(share)}} for share in keep for name in criteria
    }
    study = study_of(
        "pruning", ds, {**common, "recover": list(recover), "tune": tune}, arms, seeds, trial="prune",
        measures={"accuracy_pruned": "%", "accuracy_recovered": "%", "macs_share": "", "speedup": ""},
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
