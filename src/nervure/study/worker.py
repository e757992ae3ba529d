"""One trial in a process of its own: what ``train.launch.start`` calls there."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping

from nervure.errors import NervureError
from nervure.study.environment import environment
from nervure.study.trials import Job, trials
from nervure.train.worker import say

__all__ = ["run"]


def run(arguments: Mapping[str, object]) -> dict[str, object]:
    """Make one trial; the arguments are its function's name and the fields of its Job.

    >>> found = run({"trial": "train", "job": {"source": "digits", "device": "cpu",
    ...     "settings": {"net": "lenet-300-100", "recipe": {"epochs": 1}}}})  # doctest: +ELLIPSIS
    {"process": ...}
    >>> sorted(found)
    ['durations', 'environment', 'metrics']
    """
    say({"process": os.getpid()})
    job = Job(**arguments["job"])  # type: ignore[arg-type]
    begun = time.perf_counter()
    measured = trials.get(str(arguments["trial"]))(job)
    total = time.perf_counter() - begun
    for name, value in measured.metrics.items():
        if not math.isfinite(value):
            raise NervureError(f"the measure {name} is {value}")
    durations = {name: round(seconds, 3) for name, seconds in {**measured.durations, "total": total}.items()}
    return {"metrics": measured.metrics, "durations": durations, "environment": environment(job.device)}
