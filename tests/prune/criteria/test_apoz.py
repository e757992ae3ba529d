from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.judge import Layer, judge
from nervure.observe import Site
from nervure.prune.criteria.apoz import APoZ


def test_by_hand(toy: Any) -> None:
    assert toy("apoz").scores.tolist() == [3 / 8, 2 / 8, 3 / 8]
    assert toy("apoz", tensor="pre_bn").scores.tolist() == [3 / 8, 2 / 8, 3 / 8]


def test_zeros_are_counted_behind_the_relu_before_pooling() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 2))
    nn.init.ones_(net[0].weight)
    x = torch.tensor([[[[1.0, -1.0], [-1.0, -1.0]]]])
    layers = [Layer("0", net[0], 1, Site("4", "input"))]
    batches = [Batch(x, None, torch.arange(1))]
    found = judge(net, batches, {"apoz": APoZ(), "seen": APoZ(tensor="seen")}, layers=layers)
    assert (found["apoz"]["0"].scores.tolist(), found["seen"]["0"].scores.tolist()) == ([0.25], [1.0])


def test_zeros_are_counted_behind_the_relu_before_a_batch_norm() -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.BatchNorm1d(1), nn.Linear(1, 2)).eval()
    nn.init.ones_(net[0].weight)
    nn.init.constant_(net[2].bias, 5.0)
    batches = [Batch(torch.tensor([[1.0], [-1.0], [-2.0], [-3.0]]), None, torch.arange(4))]
    layers = [Layer("0", net[0], 1, Site("3", "input"))]
    found = judge(net, batches, {"apoz": APoZ(), "seen": APoZ(tensor="seen")}, layers=layers)
    assert (found["apoz"]["0"].scores.tolist(), found["seen"]["0"].scores.tolist()) == ([0.25], [1.0])


def test_a_flatten_before_the_relu_and_a_relu_that_is_no_module_are_read_further_on() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.ReLU(), nn.Linear(8, 2))
    batches = [Batch(torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)), None, torch.arange(3))]
    layers = [Layer("0", net[0], 2, Site("3", "input"), 4)]
    found = judge(net, batches, {"apoz": APoZ(), "own": APoZ(tensor="pre_bn")}, layers=layers)
    assert torch.equal(found["apoz"]["0"].scores, found["own"]["0"].scores)


def test_positive_scale_of_a_unit_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    batches = [Batch(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), None, torch.arange(30))]
    before = judge(net, batches, {"apoz": APoZ()})["apoz"]["0"].scores
    with torch.no_grad():
        for part in net[0].parameters():
            part *= torch.tensor([1.0, 2.0, 0.5, 7.0]).view(-1, *[1] * (part.ndim - 1))
    assert torch.equal(judge(net, batches, {"apoz": APoZ()})["apoz"]["0"].scores, before)
