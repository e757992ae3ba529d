"""What stands in a run's folder, as one process sees it and as two do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nervure import data, nets, train
from nervure.errors import InputError, InterruptedWork
from nervure.train.standing import standing

TWO = """
import os
import sys
import time

import nervure as nv
from nervure.train import checkpoint

rank, place = os.environ["RANK"], sys.argv[1]
ds = nv.data.load("digits").subset(range(200))
net = nv.nets.build("mlp", ds, widths=[4])
recipe = nv.train.Recipe(epochs=2, batch=64)

for case in ("first", "second", "finished"):
    try:
        nv.train.fit(net, ds, recipe, out=f"{place}/{case}{rank}", resume=True, device="cpu")
    except nv.errors.InputError as error:
        print(error)

written = checkpoint.write


def slowly(out, loop):
    time.sleep(1)
    written(out, loop)


checkpoint.write = slowly
try:
    nv.train.fit(net, ds, recipe, out=f"{place}/one", device="cpu", stop=lambda: True)
except nv.errors.InterruptedWork as error:
    print(error)
run = nv.train.fit(net, ds, recipe, out=f"{place}/one", resume=True, device="cpu")
print(len(run.history), "epochs")
"""


def interrupted(out: Path, *, finish: bool = False) -> None:
    ds = data.load("digits").subset(np.arange(200))
    net = nets.build("mlp", ds, widths=[4])
    recipe = train.Recipe(epochs=2, batch=64)
    if finish:
        train.fit(net, ds, recipe, out=out, device="cpu")
        return
    with pytest.raises(InterruptedWork):
        train.fit(net, ds, recipe, out=out, device="cpu", stop=lambda: True)


def test_what_one_process_finds(tmp_path: Path) -> None:
    interrupted(tmp_path / "cut")
    interrupted(tmp_path / "whole", finish=True)
    found = [standing(tmp_path / name, resume=True, overwrite=False) for name in ("cut", "whole", "none")]
    assert found == ["checkpoint", "run", "nothing"]
    assert standing(tmp_path / "cut", resume=False, overwrite=True) == "nothing"
    with pytest.raises(InputError, match="holds unfinished work; give --resume"):
        standing(tmp_path / "cut", resume=False, overwrite=False)


# two processes that import torch and train
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_processes_that_see_different_folders_are_told_so(tmp_path: Path) -> None:
    """Or else one of them goes on while the other begins, and both wait for ever; so they are not waited for here."""
    interrupted(tmp_path / "first0")
    interrupted(tmp_path / "second1")
    interrupted(tmp_path / "finished0", finish=True)
    (tmp_path / "two.py").write_text(TWO)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2",
             "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}  # fmt: skip
    both = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "two.py"), str(tmp_path)],
            env={**where, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        told = [process.communicate(timeout=100)[0].splitlines() for process in both]
    finally:
        for process in both:
            process.kill()
    for lines in told:
        assert "first finds there: checkpoint" in lines[0] and "process 1: nothing; give a folder" in lines[0]
        assert "first finds there: nothing; process 1: checkpoint" in lines[1]
        assert "first finds there: run" in lines[2]
        assert "one: go on with --resume" in lines[3]
        assert lines[4] == "2 epochs"
