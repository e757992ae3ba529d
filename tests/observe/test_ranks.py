"""Two processes that each see half give what one gives that sees all."""

from pathlib import Path

import pytest
import torch

from nervure.observe import ranks
from ranks import Pair

WORK = """
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
    further = collect(net, batches, {"0": list(found[Site("0")].values())[:6]}, objective=objective)[Site("0")]
    assert further["moments",].result().examples == further[Votes(0.3).key].result().examples == 26
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


def share(folder):
    dist.init_process_group("gloo")
    torch.save(work(dist.get_rank(), 2), f"{folder}/{dist.get_rank()}.pt")
"""


@pytest.mark.xdist_group("processes")
def test_two_ranks_equal_one_and_fail_together(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share_of_statistics.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    pair.start("share_of_statistics:share", str(tmp_path), processes=2)
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
