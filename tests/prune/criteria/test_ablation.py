from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from nervure.judge import Probe


class Toys:
    """The mean true logit of the toy network, negated, for any filters left on."""

    def __init__(self) -> None:
        self.asked = 0

    def loss(self, keep: Mapping[str, Tensor]) -> float:
        self.asked += 1
        on = keep["conv"].to(torch.float64)
        first = on @ torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
        second = on @ torch.tensor([0.0, 0.5, -1.0], dtype=torch.float64)
        return -float(first + second) / 2


def test_by_hand(toy: Any) -> None:
    probe = Toys()
    assert isinstance(probe, Probe)
    found = toy("ablation", probe=probe)
    assert found.scores.tolist() == pytest.approx([0.5, 0.25, 0.5])
    assert probe.asked == 4
    assert found.notes["intact"] == -1.25
