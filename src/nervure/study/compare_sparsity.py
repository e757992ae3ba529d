"""compare_sparsity: criteria by rates by seeds on one network, in parallel processes, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from nervure.data import Dataset
from nervure.errors import InputError
from nervure.evidence import Curve, Figure, Matrix, Table
from nervure.sparsify.criteria import criteria as known
from nervure.store import Run
from nervure.study.results import Results
from nervure.study.run import Progress
from nervure.study.run import run as run_study
from nervure.study.side_by_side import asked, base_settings, curve, study_of
from nervure.study.statistics import Paired, against

__all__ = ["SparsityComparison", "compare_sparsity"]

CONTROLS = ("random", "magnitude")  # each criterion is held against these, if they take part

Line = list[str | int | float | None]

_SHARES = {"accuracy": "%", "sparsity": "%", "bytes": "", "seconds_dense": "", "seconds_zeros": "", "seconds_edges": ""}


@dataclass(frozen=True, eq=False)
class SparsityComparison:
    """What a comparison gave: the trials, and what they were about."""

    results: Results
    criteria: tuple[str, ...]
    sparsity: tuple[float, ...]

    def values(self, criterion: str, rate: float, measure: str) -> np.ndarray:
        """A measure's values over seeds (seeds,)."""
        return np.array(list(self.results.values(criterion, f"{measure} {rate:g}").values()))

    def table(self) -> Table:
        """A line for each criterion and rate: accuracy, and each paired difference to a control."""
        columns = (
            "criterion", "sparsity", "seeds", "accuracy", "sd",
            *(f"{way} {control}" for control in self._controls for way in ("against", "p of")),
        )  # fmt: skip
        base = self.results.summary(self.criteria[0], "accuracy_base").mean
        dense = "" if base is None else f" Dense: {base:.2f} %."
        alt = f"{len(self.criteria)} criteria at {len(self.sparsity)} rates; accuracies in per cent.{dense}"
        return Table(title="Criteria side by side", alt=alt, columns=columns, rows=self._rows(self._line))

    def costs(self) -> Table:
        """A line for each criterion and rate: what was reached, agreement with magnitude, bytes and seconds."""
        columns = (
            "criterion", "sparsity", "zeros, %", "as magnitude, %", "bytes", "dense s", "with zeros s", "by edges s",
        )  # fmt: skip
        alt = "Achieved sparsity, agreement of masks with magnitude's, bytes on disk, and seconds for 10,000 samples."
        return Table(title="What it costs", alt=alt, columns=columns, rows=self._rows(self._cost))

    def _rows(
        self, line: Callable[[str, float], list[str | int | float | None]]
    ) -> list[list[str | int | float | None]]:
        done = [(name, rate) for rate in self.sparsity for name in self.criteria]
        return [line(name, rate) for name, rate in done if len(self.values(name, rate, "accuracy"))]

    def tests(self) -> list[dict[str, object]]:
        """Both paired tests of each criterion against each control, at each rate, over seeds."""
        found: list[dict[str, object]] = []
        for rate in self.sparsity:
            for criterion in self.criteria:
                for control in self._controls:
                    test = None if control == criterion else self._against(criterion, control, rate)
                    if test is not None:
                        # Without spread t is infinite, and says nothing.
                        values = {name: value if test.sd else None for name, value in test._asdict().items()}
                        values |= {"n": test.n, "difference": test.difference}
                        found.append({"criterion": criterion, "control": control, "sparsity": rate, **values})
        return found

    def figures(self) -> tuple[Figure, ...]:
        """Accuracy, agreement with magnitude, bytes and seconds against the rate, agreement of all, and the table."""
        found: list[Figure] = [self._curve("accuracy", "Accuracy against sparsity"), self.table(), self.costs()]
        found.append(self._curve("agreement magnitude", "Agreement with magnitude", "share of edges, %"))
        matrix = self._matrix()
        if matrix is not None:
            found.append(matrix)
        found.append(self._curve("bytes", "Bytes on disk", "bytes"))
        if len(self.values(self.criteria[0], self.sparsity[0], "seconds_zeros")):
            found.append(self._seconds())
        return tuple(found)

    @property
    def _controls(self) -> tuple[str, ...]:
        return tuple(control for control in CONTROLS if control in self.criteria)

    def _against(self, criterion: str, control: str, rate: float) -> Paired | None:
        name = f"accuracy {rate:g}"
        return against(self.results.values(criterion, name), self.results.values(control, name))

    def _line(self, criterion: str, rate: float) -> Line:
        accuracy = self.results.summary(criterion, f"accuracy {rate:g}")
        line: Line = [criterion, rate, accuracy.n, accuracy.mean, accuracy.sd]
        for control in self._controls:
            test = None if control == criterion else self._against(criterion, control, rate)
            # Of masks that no seed changes, seeds say nothing.
            line += [None, None] if test is None else [test.difference, test.p_t if test.sd else None]
        return line

    def _cost(self, criterion: str, rate: float) -> Line:
        names = ("sparsity", "agreement magnitude", "bytes", "seconds_dense", "seconds_zeros", "seconds_edges")
        seen = [self.values(criterion, rate, name) for name in names]
        return [criterion, rate, *(float(np.median(one)) if len(one) else None for one in seen)]

    def _curve(self, measure: str, title: str, y_label: str = "accuracy, %") -> Curve:
        values = {one: [self.values(one, rate, measure) for rate in self.sparsity] for one in self.criteria}
        what = "Test accuracy" if measure == "accuracy" else title
        return curve(values, self.sparsity, title, x_label="share of edges removed", y_label=y_label, what=what)

    def _seconds(self) -> Curve:
        first = self.criteria[0]
        lines = {"dense": "dense", "zeros": "with zeros, dense kernels", "edges": "dense layers by their edges"}
        values = {said: [self.values(first, rate, f"seconds_{name}") for rate in self.sparsity]
                  for name, said in lines.items()}  # fmt: skip
        return curve(
            values, self.sparsity, "Seconds for 10,000 samples", x_label="share of edges removed",
            y_label="seconds, one thread", what=f"Ways to run the network that {first} made, as lines instead",
        )  # fmt: skip

    def _matrix(self) -> Matrix | None:
        """Agreement of all masks at the rate in the middle."""
        rate = self.sparsity[len(self.sparsity) // 2]
        share = [
            [self.results.summary(a, f"agreement {b} {rate:g}").mean for b in self.criteria] for a in self.criteria
        ]
        if any(one is None for row in share for one in row):
            return None
        return Matrix(
            title=f"Agreement of masks at {rate:g}",
            alt=f"Share of edges on which masks agree, in per cent; chance is {100 * (rate**2 + (1 - rate) ** 2):.0f}.",
            values=np.array(share, dtype=np.float64),
            rows=self.criteria,
            columns=self.criteria,
        )


def compare_sparsity(
    net: Run | nn.Module | str | Path,
    ds: Dataset,
    *,
    criteria: Sequence[str],
    sparsity: Sequence[float] = (0.3, 0.5, 0.7, 0.9),
    seeds: int = 3,
    out: Path | str,
    samples: int = 2000,
    ranking: str = "layer",
    seconds: bool = True,
    build: str | None = None,
    jobs: int = 1,
    minutes: float | None = None,
    threads: int | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> SparsityComparison:
    """Hold criteria of edges side by side on one network: each removes each share of edges, with each seed.

    Parameters
    ----------
    net : Run, module of ours, or a run's folder
        What loses edges; the network itself is not changed.
    ds : Dataset
        Data with a source, because each trial loads it in a process of its own.
    criteria, sparsity, seeds
        Names, shares of edges to remove, and how many seeds; a seed draws the samples that criteria see, and random
        masks. The network is one, so spread over seeds is not that of training.
    out : path
        A folder; what it holds already is not done again.
    samples, ranking
        How many training samples criteria see; ``"layer"`` or ``"global"``.
    seconds : bool
        Whether to time 10,000 samples.
    build : str, optional
        The ``package.module:function`` that made the run's network, if it was your own.
    jobs, minutes, threads, device, data_dir, progress, stop
        As in :func:`nervure.study.run`.
    """
    for name in criteria:
        if getattr(known.get(name), "needs_training", False):
            raise InputError(f"criterion {name!r} trains the network; compare it with: nervure reproduce")
    if bad := [share for share in sparsity if not 0 <= share < 1]:
        raise InputError(f"sparsity {bad[0]}: give shares from 0 up to 1, without 1")
    asked(criteria, sparsity, "sparsity", ds)
    rates = [f"{rate:g}" for rate in sparsity]
    if len(set(rates)) != len(rates):
        raise InputError("name each sparsity once")
    others = dict.fromkeys(("magnitude", *criteria))
    settings: dict[str, object] = {
        **base_settings(net, ds, Path(out), build), "sparsity": [float(rate) for rate in sparsity], "samples": samples,
        "plan": {"ranking": ranking}, "seconds": seconds, "beside": {name: {} for name in others},
    }  # fmt: skip
    study = study_of(
        "sparsity", ds, settings, {name: {"criterion": name} for name in criteria}, seeds, trial="sparsify",
        measures={"accuracy_base": "%"} | {
            f"{measure} {rate}": unit for rate in rates for measure, unit in (
                _SHARES | {f"agreement {name}": "%" for name in others}
            ).items()
        },
    )  # fmt: skip
    results = run_study(
        study, "cpu", out, jobs=jobs, threads=threads, device=device, data_dir=data_dir, minutes=minutes,
        progress=progress, stop=stop,
    )  # fmt: skip
    return SparsityComparison(results, tuple(criteria), tuple(float(rate) for rate in sparsity))
