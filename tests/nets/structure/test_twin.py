"""Parts that stand for one operation take and give what the real ones do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from nervure.nets.structure.cut import cut
from nervure.nets.structure.layers import examine
from nervure.nets.structure.surgery import trace
from nervure.nets.structure.twin import opaque, tensors


def alike(module: nn.Module, *given: Any, **named: Any) -> Any:
    """What the opaque form gives, after a look that it is of the same kinds and shapes as the real one's."""
    wanted = module(*given, **named)
    with opaque(module):
        found = module(*given, **named)
    assert _kinds(found) == _kinds(wanted)
    assert [one.shape for one in tensors(found)] == [one.shape for one in tensors(wanted)]
    return found


def _kinds(value: object) -> object:
    if isinstance(value, tuple):
        return type(value), [_kinds(one) for one in value]
    return type(value)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bidirectional": True, "num_layers": 2}])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers(kind: type[nn.RNNBase], options: dict[str, Any]) -> None:
    layer = kind(4, 6, **options)
    x = torch.randn(5, 5, 4)
    _, state = alike(layer, x)
    alike(layer, x, state)
    alike(layer, input=x, hx=state)
    alike(layer, x[0])
    out, _ = alike(layer, pack_padded_sequence(x, torch.tensor([1, 5, 3, 2, 2]), enforce_sorted=False))
    assert isinstance(out, PackedSequence)


def test_a_recurrent_layer_with_a_projection() -> None:
    alike(nn.LSTM(4, 6, proj_size=3), torch.randn(5, 2, 4))


@pytest.mark.parametrize("first", [True, False])
def test_attention(first: bool) -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=first, kdim=4, vdim=4)
    query, key = torch.randn(5, 3, 8), torch.randn(5, 7, 4) if first else torch.randn(7, 3, 4)
    alike(layer, query, key, key)
    alike(layer, query, key, key, None, False)
    alike(layer, query=query, key=key, value=key, average_attn_weights=False)
    alike(layer, query, key, key, need_weights=False)
    alike(layer, query[0], torch.randn(7, 4), torch.randn(7, 4), average_attn_weights=False)


class Weighed(nn.Module):
    """Uses the weights of its attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attend = nn.Linear(3, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.hidden, self.head = nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        out, weights = self.attend(x, x, x)
        return self.head(torch.relu(self.hidden(out.mean(1)))) * weights.mean()


class Begun(nn.Module):
    """Gives its recurrent layer a first state by name."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.first = nn.Linear(3, 8), nn.LSTM(8, 5, batch_first=True), nn.Linear(3, 5)
        self.hidden, self.head = nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x[:, 0])[None]
        out, _ = self.rnn(self.embed(x), hx=(first, torch.zeros_like(first)))
        return self.head(torch.relu(self.hidden(out[:, -1])))


class Packed(nn.Module):
    """Packs its series, and reads the last state or all."""

    def __init__(self, whole: bool = False) -> None:
        super().__init__()
        self.embed, self.rnn, self.whole = nn.Linear(3, 8), nn.GRU(8, 5, batch_first=True), whole
        self.hidden, self.head = nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.full((len(x),), x.shape[1])
        lengths[0] = 2
        out, last = self.rnn(pack_padded_sequence(self.embed(x), lengths, batch_first=True, enforce_sorted=False))
        read = pad_packed_sequence(out, batch_first=True)[0].mean(1) if self.whole else last[-1]
        return self.head(torch.relu(self.hidden(read)))


class Named(nn.Module):
    """Calls both kinds with nothing but names."""

    def __init__(self) -> None:
        super().__init__()
        self.attend, self.rnn = nn.MultiheadAttention(3, 1, batch_first=True), nn.GRU(3, 5, batch_first=True)
        self.hidden, self.head = nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.attend(query=x, key=x, value=x)
        return self.head(torch.relu(self.hidden(self.rnn(input=out)[0].mean(1))))


NETS = {
    "weighed": (Weighed, {"hidden"}),
    "begun": (Begun, {"hidden", "embed"}),
    "packed": (Packed, {"hidden", "embed"}),
    "unpacked": (lambda: Packed(True), {"hidden", "embed"}),
    "named": (Named, {"hidden"}),
}


@pytest.mark.parametrize("name", NETS)
def test_networks_with_such_calls_are_followed_and_cut(name: str) -> None:
    make, wanted = NETS[name]
    net, x = make().eval(), torch.randn(3, 4, 3)
    followed = trace(net, x)
    assert not followed.idle
    assert {group.name for group in followed.free} == wanted
    thin = cut(net, examine(net, x).groups, {"hidden": [0, 2, 5]})
    with torch.no_grad():
        net.head.weight[:, [1, 3, 4]] = 0.0
    assert torch.allclose(thin(x), net(x), atol=1e-6)
