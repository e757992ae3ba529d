from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.train.diverged import broken_value, first_broken
from ranks import Pair


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - 1e3).sqrt()


def batch(value: float = 1.0) -> Batch:
    return Batch(torch.full((3, 4), value), None, torch.arange(3))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Root()), nn.Linear(4, 2))


def test_the_input_then_a_parameter_then_a_layer() -> None:
    broken = net()
    assert first_broken(broken, batch(float("nan"))) == "the input is not finite"
    assert first_broken(broken, batch()) == "the output of layer '1.1' is not finite"
    with torch.no_grad():
        broken[2].bias[0] = float("inf")
    assert first_broken(broken, batch()) == "parameter '2.bias' is not finite"


def test_what_is_not_trained_may_be_infinite_but_must_be_a_number() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    net[0].bias.requires_grad_(False)[0] = -float("inf")
    net[1].running_mean[0] = float("inf")
    assert broken_value(net) == ""
    net[1].running_mean[0] = float("nan")
    assert broken_value(net) == "buffer '1.running_mean' is not finite"
    net[0].bias[0] = float("nan")
    assert broken_value(net) == "parameter '0.bias' is not finite"


def test_nothing_to_be_found() -> None:
    whole = nn.Linear(4, 2)
    assert first_broken(whole, batch()) == "the loss is not finite, every layer is"


def test_no_hook_stays_also_after_a_failure() -> None:
    bad = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2))
    for one in (net(), bad):
        try:
            first_broken(one, batch())
        except RuntimeError:
            assert one is bad
        assert all(not module._forward_hooks for module in one.modules())


def test_alone_no_statistics_are_learnt_and_modes_come_back() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4).eval(), Root())
    one = Batch(torch.ones(1, 4), None, torch.arange(1))  # which batch norm refuses while training
    assert first_broken(net, one, alone=True) == "the output of layer '3' is not finite"
    assert [module.training for module in net] == [True, True, False, True]
    assert int(net[1].num_batches_tracked) == 0


BROKEN = """
import os

import torch
from torch import nn

import nervure as nv
from nervure.errors import NervureError


class Objective:
    steps = 0

    def __call__(self, net, batch):
        loss = nn.functional.cross_entropy(net(batch.x), batch.y)
        self.steps += 1
        return loss * float("nan") if self.steps == 3 and os.environ["RANK"] == "1" else loss, {}


def norms(shape, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.BatchNorm1d(8, track_running_stats=False),
        nn.Linear(8, classes),
    )


def train(folder):
    ds = nv.data.load("digits")
    try:
        nv.train.fit(nv.nets.build(norms, ds), ds, nv.train.Recipe(batch=128), device="cpu", objective=Objective())
    except Exception as error:
        with open(f"{folder}/{os.environ['RANK']}.txt", "w") as file:
            file.write(f"{type(error).__name__}: {error}")
"""


# two processes train beside this one
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_one_of_two_processes_looks_without_the_other(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch norm over both would wait for the other process, which is at its gradients."""
    (tmp_path / "broken_on_one.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    pair.start("broken_on_one:train", str(tmp_path), processes=2)
    assert "DivergedError: training diverged in epoch 1, step 3: the loss is not" in (tmp_path / "1.txt").read_text()
