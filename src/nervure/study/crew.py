"""The processes that are at work on a study's trials, and a way to stop them all."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from nervure.errors import NervureError
from nervure.study.grid import Trial
from nervure.study.records import Record, write
from nervure.train import launch

__all__ = ["Crew"]


class Crew:
    """Makes trials, each in a process of its own, from any number of threads.

    Parameters
    ----------
    out : path
        The study's folder.
    threads : int
        Of each process.
    data_dir, device
        As in :class:`nervure.study.trials.Job`.
    digest : str
        Of the data, for the records.

    Examples
    --------
    >>> crew = Crew(Path("study"), threads=1, data_dir=None, device="cpu")
    >>> crew.stopped
    False
    """

    def __init__(self, out: Path, *, threads: int, data_dir: Path | None, device: str, digest: str = "") -> None:
        self.out, self.threads, self.device, self.digest = out, threads, device, digest
        self.data_dir = None if data_dir is None else str(data_dir)
        self.stopped = False
        self._processes: set[int] = set()
        self._lock = threading.Lock()

    def make(self, trial: Trial) -> Record | None:
        """Make one trial and keep its record; None if it was stopped on the way, and then nothing is kept."""
        try:
            found = self._start(trial)
        except (NervureError, OSError) as error:
            if self.stopped:
                return None
            record = Record(trial, error=" ".join(str(error).split()))
        else:
            measured = (found["metrics"], found["durations"], found["environment"])
            record = Record(trial, *measured, digest=self.digest)  # type: ignore[arg-type]
        write(self.out, record)
        return record

    def stop(self, *, at_once: bool = False) -> None:
        """Ask every process to stop, and those that are still starting as soon as they answer."""
        with self._lock:
            self.stopped = True
            for process in self._processes:
                _signal(process, at_once)

    def _start(self, trial: Trial) -> Mapping[str, object]:
        mine: list[int] = []

        def tell(event: Mapping[str, object]) -> None:
            if not isinstance(process := event.get("process"), int):
                return
            with self._lock:
                mine.append(process)
                self._processes.add(process)
                if self.stopped:
                    _signal(process, False)

        arguments = {
            "trial": trial.trial,
            "job": {
                "source": trial.data["source"],
                "options": trial.data["options"],
                "settings": trial.settings,
                "seed": trial.seed,
                "data_dir": self.data_dir,
                "device": self.device,
                "cache": str(self.out / "cache"),
            },
        }
        try:
            found = launch.start("nervure.study.worker:run", arguments, threads=self.threads, tell=tell)
        finally:
            with self._lock:
                self._processes.difference_update(mine)
        if not isinstance(found, dict):
            raise NervureError("the trial ended without a result")
        return found


def _signal(process: int, at_once: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL if at_once else signal.SIGINT)
