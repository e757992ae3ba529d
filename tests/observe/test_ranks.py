"""Two processes that each see half give what one gives that sees all."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nervure.observe import ranks

WORK = """
import sys
import torch, torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe import *

torch.set_num_threads(1)


def objective(net, batch):
    return F.cross_entropy(net(batch.x), batch.y), {}


def work(rank, ranks):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    x = torch.randn(13, 1, 6, 6)
    conv = [Moments(), ZeroFraction(), Histogram(), Quantile(0.8), Votes(0.3), MapRank(), ExactQuantile(),
            CrossGram(net[0], per_example=4), GradientTimesActivation()]
    wanted = {"0": conv, "3": [Gram(), FixedHistogram((-1, 1))], Site("1", "input"): [Norms()]}
    at = torch.arange(rank, 13, ranks)
    batches = [Batch(x[k], k % 3, k) for k in at.split(1)]
    found = collect(net, batches, wanted, objective=objective)
    states = {(site, key): s.state() for site, place in found.items() for key, s in place.items()}
    if ranks > 1:
        only = collect(net, batches if rank else [], {"0": [Moments()]})[Site("0")][("moments",)]
        assert only.result().examples == 6, only.result().examples
        apart = collect(net, batches, {"0": [Moments()]}, reduce=False)[Site("0")][("moments",)]
        assert apart.result().examples == len(batches)
        bad = [Batch(batches[0].x * (float("nan") if rank else 1), None, at[:1])]
        try:
            collect(net, bad, {"0": [Moments()]})
        except InputError as error:
            assert "layer '0'" in str(error), error
            assert rank or "rank 1 failed" in str(error), error
        else:
            raise AssertionError("rank 1 saw NaN, and no error reached this rank")
    return states


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(work(rank, 2), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
"""


def test_two_ranks_equal_one_and_fail_together(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    processes = [
        subprocess.Popen([sys.executable, script, str(rank), tmp_path], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    space: dict[str, object] = {"__name__": "work"}
    exec(compile(WORK, "work", "exec"), space)
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        whole = space["work"](0, 1)
    torch.set_num_threads(threads)
    assert one.keys() == two.keys() == whole.keys()
    for key, state in whole.items():
        for name, part in state.items():
            assert torch.equal(one[key][name], two[key][name])
            if name == "values":
                assert torch.equal(one[key][name].sort(1).values, part.sort(1).values)
            elif part.is_floating_point():
                torch.testing.assert_close(one[key][name], part, rtol=1e-12, atol=1e-10)
            else:
                assert torch.equal(one[key][name], part), (key, name)


def test_outside_a_group_nothing_is_exchanged() -> None:
    from nervure.observe import Moments

    moments = Moments()
    assert not ranks.active()
    assert ranks.merged(moments) is moments
    with pytest.raises(OSError, match="mine"):
        ranks.agree(OSError("mine"))
