from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.judge import judge
from nervure.prune.criteria.apoz import APoZ


def test_by_hand(toy: Any) -> None:
    assert toy("apoz").scores.tolist() == [3 / 8, 2 / 8, 3 / 8]
    assert toy("apoz", tensor="pre_bn").scores.tolist() == [3 / 8, 2 / 8, 3 / 8]


def test_positive_scale_of_a_unit_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    batches = [Batch(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), None, torch.arange(30))]
    before = judge(net, batches, {"apoz": APoZ()})["apoz"]["0"].scores
    with torch.no_grad():
        for part in net[0].parameters():
            part *= torch.tensor([1.0, 2.0, 0.5, 7.0]).view(-1, *[1] * (part.ndim - 1))
    assert torch.equal(judge(net, batches, {"apoz": APoZ()})["apoz"]["0"].scores, before)
