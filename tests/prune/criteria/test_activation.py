from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Layer, judge
from nervure.observe import Site
from nervure.prune.criteria.activation import ActivationL1, ActivationL2, MeanActivation, StandardDeviation


def test_by_hand(toy: Any) -> None:
    assert toy("mean-activation").scores.tolist() == [0.5, -0.5, 1.0]
    sd = math.sqrt(1.75)
    assert toy("standard-deviation").scores.tolist() == pytest.approx([sd, sd, 2 * sd])
    assert toy("activation-l1").scores.tolist() == [4.0, 4.0, 8.0]
    assert toy("activation-l2").scores.tolist() == [4.0, 4.0, 8.0]
    # Behind the ReLU: 1 + 3 + 2 of 8 places, 2 of 8, twice the first.
    assert toy("mean-activation", tensor="seen").scores.tolist() == [0.75, 0.25, 1.5]


def test_streamed_equals_all_in_memory() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 7, generator=generator, dtype=torch.float64) * 3 + 40
    net = nn.Sequential(nn.Identity(), nn.Linear(7, 5)).to(torch.float64)
    batches = [Batch(part, None, torch.arange(len(part))) for part in x.split(9)]
    all_ = {"mean": MeanActivation(), "sd": StandardDeviation(), "l1": ActivationL1(), "l2": ActivationL2()}
    found = judge(net, batches, all_)
    t = net(x).detach().numpy()
    expected = {"mean": t.mean(0), "sd": t.std(0), "l1": np.abs(t).mean(0), "l2": np.linalg.norm(t, axis=0)}
    for name, value in expected.items():
        assert np.allclose(found[name]["1"].scores, value, rtol=1e-9)


def test_units_behind_a_flatten_count_as_maps() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).to(torch.float64)
    x = torch.randn(6, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layer = Layer("0", net[0], 3, Site("3", "input"), 4, ("3",))
    batches = [Batch(x, None, torch.arange(6))]
    found = judge(net, batches, {"sd": StandardDeviation(tensor="seen")}, layers=[layer])["sd"]["0"]
    assert np.allclose(found.scores, net[:2](x).detach().transpose(0, 1).flatten(1).numpy().std(1))


def test_a_wrong_spread_is_named() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    layer = Layer("0", net[0], 3, Site("1", "output"), 1)
    with pytest.raises(InputError, match="3 units of layer '0'"):
        judge(net, [Batch(torch.ones(2, 2), None, torch.arange(2))], {"a": MeanActivation("seen")}, layers=[layer])


def test_unknown_tensor() -> None:
    with pytest.raises(InputError, match="pre_bn"):
        MeanActivation(tensor="post")  # type: ignore[arg-type]
