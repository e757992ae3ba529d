"""Two processes of one group give the plan that one process gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nervure.prune import Plan
from ranks import Pair

WORK = """
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


def share(folder):
    dist.init_process_group("gloo")
    work(f"{folder}/{dist.get_rank()}")
"""


# slow: two processes and this one plan four times each
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_processes_give_one_plan(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share_of_plans.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    pair.start("share_of_plans:share", str(tmp_path), processes=2)
    alone: dict[str, Any] = {"__name__": "alone"}
    exec(compile(WORK, "work", "exec"), alone)
    alone["work"](f"{tmp_path}/alone")
    for name in ("majority-vote", "taylor", "iou-vote", "fpgm"):
        plans = [Plan.load(tmp_path / f"{who}.{name}.json") for who in ("0", "1", "alone")]
        assert plans[0].kept == plans[1].kept == plans[2].kept, name
        assert plans[0].macs_after == plans[2].macs_after
