from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nervure.nets.structure.layers import examine


class Helped(nn.Module):
    """A second head that only training hears."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 6, 3)
        self.aid, self.head, self.spare = nn.Linear(8, 3), nn.Linear(6, 3), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.relu(self.a(x))
        out: Tensor = self.head(F.relu(self.b(maps)).mean((2, 3)))
        return out + self.aid(maps.mean((2, 3))) if self.training else out


class Functional(nn.Module):
    """A layer that is read by its weight alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.held = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.relu(self.a(x)), self.held.weight)


def test_units_that_a_layer_reads_in_training_alone_stay() -> None:
    net = Helped()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    graph = examine(net, torch.randn(3, 1, 8, 8))
    assert "fails in training" in graph.group("a").why
    assert [group.name for group in graph.free] == ["b"]
    assert graph.idle == ("spare",)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_layer_that_is_used_without_a_call_is_not_idle() -> None:
    assert examine(Functional(), torch.randn(3, 4)).idle == ()


def test_nothing_inside_attention_or_recurrent_layers_is_idle() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.rnn = nn.MultiheadAttention(4, 2, batch_first=True), nn.GRU(4, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.rnn(self.attention(x, x, x)[0])[0][:, -1])
            return out

    assert examine(Both(), torch.randn(3, 6, 4)).idle == ()


def test_a_network_that_wants_more_than_samples_in_training_is_taken_as_it_is() -> None:
    class Wants(Helped):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise ValueError("in training, targets must not be None")
            return super().forward(x)

    graph = examine(Wants(), torch.randn(3, 1, 8, 8))
    assert [group.name for group in graph.free] == ["a", "b"]
    assert graph.idle == ("aid", "spare")
