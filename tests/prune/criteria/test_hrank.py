from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Layer, judge
from nervure.observe import Site
from nervure.prune.criteria.hrank import HRank


def test_by_hand(toy: Any) -> None:
    found = toy("hrank")
    assert found.scores.tolist() == [1.5, 0.5, 1.5]
    assert found.notes["ties"] == 1


def test_maps_behind_the_activation_and_before_the_pool() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(64, 2)).to(torch.float64).eval()  # fmt: skip
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = Layer("0", net[0], 4, Site("5", "input"), 16, ("5",))
    batches = [Batch(x, None, torch.arange(5))]
    for criterion, upto in ((HRank(), 3), (HRank(tensor="active"), 3), (HRank(tensor="seen"), 4)):
        found = judge(net, batches, {"hrank": criterion}, layers=[layer])["hrank"]["0"].scores
        assert np.allclose(found, np.linalg.matrix_rank(net[:upto](x).detach().numpy()).mean(0))


def test_options() -> None:
    with pytest.raises(InputError, match="active or seen"):
        HRank(tensor="post")  # type: ignore[arg-type]
