from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from nervure.study.crew import Crew
from nervure.study.grid import Trial


def trial(name: str, seed: int, mark: Path) -> Trial:
    return Trial(
        "mine",
        "smoke",
        "base",
        seed,
        name,
        {"source": "digits", "options": {}},
        {"base": 0.5, "mark": str(mark)},
    )


@pytest.mark.slow  # three processes that import torch
def test_each_trial_has_a_process_and_leaves_a_record(outside: Path, tmp_path: Path) -> None:
    crew = Crew(tmp_path, threads=1, data_dir=None, device="cpu")
    made = crew.make(trial("quick", 1, tmp_path))
    assert made is not None
    assert made.metrics == {"accuracy": 0.51}
    assert made.environment["threads"] == 1
    errors = [crew.make(trial("wrong", seed, tmp_path)).error for seed in range(2)]  # type: ignore[union-attr]
    assert errors[0] == "the data is broken; mend it"
    assert "exit code 7" in str(errors[1])
    assert len(list((tmp_path / "trials").iterdir())) == 3


@pytest.mark.slow  # two processes that import torch
def test_stop_ends_what_runs_and_what_is_only_starting(outside: Path, tmp_path: Path) -> None:
    crew = Crew(tmp_path, threads=1, data_dir=None, device="cpu")
    mark = tmp_path / "mark"
    made: list[object] = []
    running = threading.Thread(target=lambda: made.append(crew.make(trial("hang", 1, mark))))
    running.start()
    until = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    process = int(mark.read_text())
    crew.stop()
    running.join(timeout=20)
    assert made == [None]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    mark.unlink()
    assert crew.make(trial("hang", 1, mark)) is None
    assert not list(tmp_path.glob("trials/*"))
