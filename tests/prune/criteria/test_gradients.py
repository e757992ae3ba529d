from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import judge
from nervure.prune.criteria.gradients import MeanGradient, Taylor


def test_by_hand(toy: Any) -> None:
    # The gradient of the true logit is a quarter of its weights, at each of four places.
    assert toy("mean-gradient").scores.tolist() == [0.125, 0.125, 0.25]
    assert toy("mean-gradient", signed=True).scores.tolist() == [0.125, 0.125, 0.0]
    raw = [0.5, 0.25, 1.5]
    assert toy("taylor", normalised=False).scores.tolist() == raw
    length = math.sqrt(sum(one * one for one in raw))
    assert toy("taylor").scores.tolist() == pytest.approx([one / length for one in raw])


def test_before_the_activation(toy: Any) -> None:
    # ReLU lets the gradient through at 1 and 3 of the first image; the second has none in filter 0.
    assert toy("mean-gradient", tensor="pre_bn").scores.tolist()[0] == 0.25 * 2 / 8
    # activation x gradient is the same before and behind a ReLU.
    assert toy("taylor", tensor="pre_bn", normalised=False).scores.tolist() == [0.5, 0.25, 1.5]


def test_taylor_foretells_the_loss_of_a_linear_network() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)).to(torch.float64)
    x = torch.randn(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.zeros(1, 1, dtype=torch.float64), torch.arange(1))

    def output(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        return net(batch.x).mean(), {}

    found = judge(net, [batch], {"taylor": Taylor(normalised=False)}, objective=output)["taylor"]["0"].scores
    hidden = net[0](x)[0].detach()
    for unit in range(4):
        without = hidden.clone()
        without[unit] = 0
        assert float(found[unit]) == pytest.approx(abs(float((net[1](hidden) - net[1](without)).detach())))


def test_options() -> None:
    with pytest.raises(InputError, match="tensor"):
        MeanGradient(tensor="seen")  # type: ignore[arg-type]
