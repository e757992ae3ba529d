"""run: makes the trials of a study that are missing, side by side, and gathers what is there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from nervure.errors import InputError, InterruptedWork
from nervure.registry import nearest
from nervure.store.atomic import clear_errors, write_json
from nervure.study.crew import Crew
from nervure.study.environment import cores
from nervure.study.grid import Trial, grid
from nervure.study.journal import Claims
from nervure.study.records import Record, read
from nervure.study.results import Results
from nervure.study.same_data import digest, require_same
from nervure.study.table import Study
from nervure.study.where import place_of, require_data
from nervure.train.runtime import pick_device

__all__ = ["Progress", "run"]


class Progress(NamedTuple):
    """Where a study stands after a trial: its record, how many are made, how many there are, seconds left."""

    record: Record
    made: int
    total: int
    left: float


def run(
    study: Study,
    profile: str,
    out: Path | str,
    *,
    arms: Sequence[str] = (),
    seeds: int | None = None,
    data_dir: Path | str | None = None,
    jobs: int = 1,
    minutes: float | None = None,
    threads: int | None = None,
    device: str = "auto",
    journal: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Results:
    """Make what is missing of one profile of a study, each trial in a process of its own.

    Parameters
    ----------
    study, profile
        What to make.
    out : path
        A folder; it keeps ``trials/KEY.json`` and ``NAME.PROFILE.json``. Trials that it holds are not made
        again, those that failed are. Profiles and studies may share it. Trials on other data than those that it
        holds of this profile are refused.
    arms : sequence of str
        Those whose trials are made; all, if none is named. What is there of others is gathered all the same.
    seeds : int, optional
        How many, in place of the profile's own number.
    data_dir : path, optional
        Where the data is.
    jobs : int
        Trials at a time.
    minutes : float, optional
        No trial is started after so long, nor one that would end later if it took as long as the longest so
        far (the first is always tried). With 0 nothing is made, and what is there is gathered.
    threads : int, optional
        Of each trial; the cores shared out among the jobs, if not said.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    journal : path, optional
        A file through which several machines share the work.
    progress, stop : callable, optional
        Told of each trial that ends; asked all the time whether to stop.

    Returns
    -------
    Results
        Of the trials that are there; what failed and what is missing is in it.

    Examples
    --------
    >>> import tempfile
    >>> from nervure.study.table import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run(load("digits-lenet5"), "smoke", folder, minutes=0).missing
    2
    """
    out, data_dir = Path(out), None if data_dir is None else Path(data_dir)
    for name, value, least in (
        ("seeds", seeds, 1),
        ("jobs", jobs, 1),
        ("threads", threads, 1),
        ("minutes", minutes, 0),
    ):
        if value is not None and not value >= least:
            raise InputError(f"{name} = {value}; give {least} or more")
    for arm in arms:
        if arm not in study.arms:
            raise InputError(f"study {study.name} has no arm {arm!r}; {nearest(arm, tuple(study.arms))}")
    trials = grid(study, profile, seeds)
    if minutes != 0:
        require_data(study, data_dir)
        pick_device(device)
        _require_folder(out)
    there = {trial.key: record for trial in trials if (record := read(out, trial)) is not None}
    asked = [trial for trial in trials if not arms or trial.arm in arms]
    wanted = [trial for trial in asked if trial.key not in there or not there[trial.key].done]
    now = _require_same_data(study, data_dir, out, list(there.values()), bool(wanted) and minutes != 0)
    crew = Crew(out, threads=threads or max(1, cores() // jobs), data_dir=data_dir, device=device, digest=now)
    claims = None if journal is None else Claims(Path(journal), f"{study.name}.{profile}")
    try:
        if wanted and minutes != 0:
            _Work(crew, wanted, len(asked), jobs, minutes, claims, progress).go(stop or (lambda: False))
    finally:
        results = Results(study, profile, trials, tuple(found for one in trials if (found := read(out, one))))
        if results.records:
            write_json(out / f"{study.name}.{profile}.json", results.to_json())
    require_same(results.records, out)  # other machines may have made some
    if crew.stopped:
        kept = sum(record.done for record in results.records)
        raise InterruptedWork(
            f"interrupted; {kept} of {len(trials)} trials are kept in {out}: give the same command to go on"
        )
    return results


def _require_same_data(
    study: Study, data_dir: Path | None, out: Path, records: Sequence[Record], making: bool
) -> str:  # fmt: skip
    """The digest of the data, which must be that of the trials that are there; nothing is read if nobody asks for it.

    Where the settings have the data's fingerprint, the trials check that, and another has other trials.
    """
    place = None if study.settings.get("fingerprint") else place_of(study, data_dir)
    now = digest(place) if place and (making or any(record.digest for record in records)) else ""
    require_same(records, out, place, now)
    return now


def _require_folder(out: Path) -> None:
    """Make the folder, and see that it can be written to, before hours of work are put into it."""
    with clear_errors(out):
        (out / "trials").mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out / "trials").close()


class _Work:
    """One call's work: what is waiting, what is being made, and when to start no more."""

    def __init__(
        self,
        crew: Crew,
        waiting: list[Trial],
        total: int,
        jobs: int,
        minutes: float | None,
        claims: Claims | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.crew, self.waiting, self.total, self.jobs = crew, list(waiting), total, jobs
        self.limit = None if minutes is None else 60 * minutes
        self.claims, self.progress = claims, progress
        self.begun, self.made, self.longest = time.monotonic(), total - len(waiting), 0.0
        self.running: dict[Future[Record | None], tuple[Trial, float]] = {}
        self.started = 0

    def go(self, stop: Callable[[], bool]) -> None:
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while True:
                    self._start(pool)
                    if not self.running:
                        return
                    for future in wait(self.running, timeout=0.1, return_when=FIRST_COMPLETED).done:
                        self._end(future)
                    if stop() and not self.crew.stopped:
                        self.crew.stop()
            except BaseException:
                self.crew.stop(at_once=True)
                raise

    def _start(self, pool: ThreadPoolExecutor) -> None:
        while self.waiting and len(self.running) < self.jobs and not self.crew.stopped and not self._late():
            trial = self.waiting.pop(0)
            if self.claims is not None and not self.claims.take(trial.key):
                continue
            self.running[pool.submit(self.crew.make, trial)] = (trial, time.monotonic())
            self.started += 1

    def _late(self) -> bool:
        """Whether the next would end after the limit; the first is begun however little time there is."""
        if self.limit is None or not self.started:
            return False
        return time.monotonic() - self.begun + self.longest >= self.limit

    def _end(self, future: Future[Record | None]) -> None:
        trial, started = self.running.pop(future)
        seconds = time.monotonic() - started
        record = future.result()
        if self.claims is not None:
            if record is None:
                self.claims.give_back(trial.key)
            elif record.done:
                self.claims.finish(trial.key, seconds)
            else:
                self.claims.fail(trial.key)
        if record is None:
            return
        self.made += 1
        self.longest = max(self.longest, seconds)
        if self.progress is not None:
            each = (time.monotonic() - self.begun) / max(1, self.started - len(self.running))
            self.progress(Progress(record, self.made, self.total, each * (len(self.waiting) + len(self.running))))
