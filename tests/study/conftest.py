"""An outside package with trials, found by every process; and a run, and trials made in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from nervure import data, nets, train
from nervure.study import worker
from nervure.train import Recipe, launch

MODULE = """
import os, pathlib, time
from nervure.errors import InputError
from nervure.study.trials import Job, Measured

def quick(job):
    return Measured({"accuracy": job.settings["base"] + 0.01 * job.seed}, {"thinking": 0.5})

def hang(job):
    if job.seed:
        pathlib.Path(job.settings["mark"]).write_text(str(os.getpid()))
        time.sleep(120)
    return quick(job)

def wrong(job):
    if job.seed == 0:
        raise InputError("the data is broken;\\n  mend it")
    if job.seed == 1:
        os._exit(7)
    return quick(job)
"""
POINTS = "[nervure.trials]\n" + "".join(f"{one} = outside_trials:{one}\n" for one in ("quick", "hang", "wrong"))

TABLE = """
what = "trials of an outside package"
trial = "quick"
seeds = 3
measures = { accuracy = "%" }

[data]
source = "digits"

[settings]
base = 0.5

[arms.plain]

[arms.better]
base = 0.75

[profiles.smoke]
what = "small"
seeds = 2

[profiles.cpu]
what = "larger"
settings = { epochs = 9 }

[[published]]
work = "A. Person, A Book"
place = "Person 1999, Table 1"
values.better = { accuracy = 80.0 }
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the trials ``quick``, ``hang`` and ``wrong``."""
    folder = tmp_path / "outside"
    info = folder / "outside_trials-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "outside_trials.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-trials\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def table() -> str:
    """The text of a study with two arms, two profiles and one published figure."""
    return TABLE


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "base"
    ds = data.load("digits")
    train.fit(nets.build("mlp", ds, widths=[32, 16]), ds, Recipe(epochs=3, lr=5e-3), out=out, device="cpu")
    return out


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials that were made, in order."""
    names: list[str] = []

    def start(call: str, arguments: Mapping[str, object], **options: object) -> object:
        names.append(str(arguments["trial"]))
        return worker.run({"trial": arguments["trial"], "job": arguments["job"]})

    monkeypatch.setattr(launch, "start", start)
    return names
