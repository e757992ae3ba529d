from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.prune.recover.passes import visit


class Fragile(nn.Module):
    """Catches everything, and counts how far it came."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 2), nn.Linear(2, 1)
        self.ends = 0

    def forward(self, x: Tensor) -> Tensor:
        try:
            x = self.two(self.one(x))
        except Exception:
            x = torch.zeros(1)
        self.ends += 1
        return x


def batches(count: int = 3) -> list[Batch]:
    return [Batch(torch.randn(2, 3), None, torch.arange(2)) for _ in range(count)]


def test_a_batch_ends_where_nothing_more_is_wanted() -> None:
    net, seen = Fragile(), []
    visit(net, batches(), {"one": 1}, lambda layer, value: seen.append((layer, value.shape)), side="input")
    assert seen == [("one", (2, 3))] * 3 and net.ends == 0
    visit(net, batches(), {"one": None}, lambda layer, value: None)
    assert net.ends == 3


def test_the_network_is_handed_back_as_it_was() -> None:
    net = Fragile().train()

    def fail(layer: str, value: Tensor) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        visit(nn.Sequential(net.one), batches(), {"0": 1}, fail)
    assert net.training and not net.one._forward_hooks


def test_a_call_that_fails_to_come_is_named() -> None:
    with pytest.raises(InputError, match="'0' was called less often"):
        visit(nn.Sequential(nn.Linear(3, 2)), batches(), {"0": 2}, lambda layer, value: None)


def test_units_come_to_axis_one() -> None:
    shapes = []
    net = nn.Sequential(nn.Linear(3, 5))
    batch = Batch(torch.randn(2, 7, 3), None, torch.arange(2))
    visit(net, [batch], {"0": 1}, lambda layer, value: shapes.append(tuple(value.shape)))
    assert shapes == [(2, 5, 7)]
