"""Two processes of one group give the plan that one process gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nervure.prune import Plan

WORK = """
import sys
import torch
import torch.distributed as dist
import nervure as nv

torch.set_num_threads(1)


def work(place):
    ds = nv.data.load("synthetic-shapes", n=150, size=16)
    net = nv.nets.build("lenet5", ds, batch_norm=True)
    for name in ("majority-vote", "taylor", "iou-vote", "fpgm"):
        plan = nv.prune.plan(net, ds, name, nv.prune.Target(macs=0.5), samples=60)
        plan.save(f"{place}.{name}.json")


if __name__ == "__main__":
    folder, rank = sys.argv[1], int(sys.argv[2])
    if rank < 0:
        work(f"{folder}/alone")
    else:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
        work(f"{folder}/{rank}")
        dist.destroy_process_group()
"""


# slow: three processes import torch and plan four times each
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_processes_give_one_plan(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    processes = [
        subprocess.Popen([sys.executable, str(script), str(tmp_path), rank], stderr=subprocess.PIPE, text=True)
        for rank in ("0", "1", "-1")
    ]
    for process in processes:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    for name in ("majority-vote", "taylor", "iou-vote", "fpgm"):
        plans = [Plan.load(tmp_path / f"{who}.{name}.json") for who in ("0", "1", "alone")]
        assert plans[0].kept == plans[1].kept == plans[2].kept, name
        assert plans[0].macs_after == plans[2].macs_after
