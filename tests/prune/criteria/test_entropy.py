from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import judge
from nervure.prune.criteria.entropy import Entropy


def scores(x: torch.Tensor, **options: Any) -> list[float]:
    net = nn.Sequential(nn.Identity(), nn.Conv1d(x.shape[1], x.shape[1], 1, groups=x.shape[1], bias=False))
    nn.init.ones_(net[1].weight)
    batches = [Batch(part, None, torch.arange(len(part))) for part in x.split(3)]
    return judge(net, batches, {"entropy": Entropy(**options)})["entropy"]["1"].scores.tolist()


def test_by_hand(toy: Any) -> None:
    # Two images with different means: one bit for each filter.
    assert toy("entropy").scores.tolist() == pytest.approx([math.log(2)] * 3)


def test_constant_balanced_and_skewed() -> None:
    x = torch.zeros(8, 3, 1)
    x[:4, 1] = 1.0
    x[:1, 2] = 1.0
    skewed = -(1 / 8 * math.log(1 / 8) + 7 / 8 * math.log(7 / 8))
    assert scores(x) == pytest.approx([0.0, math.log(2), skewed])


def test_pooled_or_every_position() -> None:
    x = torch.tensor([0.0, 1.0]).expand(6, 1, 2).contiguous()
    assert scores(x) == [0.0]
    assert scores(x, pooled=False) == pytest.approx([math.log(2)])


def test_scale_by_a_power_of_two_changes_nothing() -> None:
    x = torch.randn(60, 4, 1, generator=torch.Generator().manual_seed(0))
    assert scores(8 * x) == scores(x)


def test_bins() -> None:
    with pytest.raises(InputError, match="bins"):
        Entropy(bins=1)
