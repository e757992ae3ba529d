from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import judge
from nervure.prune.criteria.batch_norm_scale import BatchNormScale

BATCHES = [Batch(torch.zeros(2, 1, 4), None, torch.arange(2))]


def test_by_hand_in_both_orders() -> None:
    for middle in ([nn.BatchNorm1d(3), nn.ReLU()], [nn.ReLU(inplace=True), nn.BatchNorm1d(3)]):
        net = nn.Sequential(nn.Conv1d(1, 3, 1), *middle, nn.Conv1d(3, 2, 1), nn.BatchNorm1d(2))
        norm = next(module for module in net if isinstance(module, nn.BatchNorm1d))
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([-2.0, 0.5, 1.0]))
        found = judge(net, BATCHES, {"bn": BatchNormScale()})["bn"]
        assert found["0"].scores.tolist() == [2.0, 0.5, 1.0]
        assert found["3"].scores.tolist() == [1.0, 1.0]


def test_none_behind_or_without_scale() -> None:
    plain = nn.Sequential(nn.Conv1d(1, 3, 1), nn.ReLU())
    unscaled = nn.Sequential(nn.Conv1d(1, 3, 1), nn.BatchNorm1d(3, affine=False))
    for net in (plain, unscaled):
        with pytest.raises(InputError, match=r"layer '0' has no batch norm.*l1"):
            judge(net, BATCHES, {"bn": BatchNormScale()})
