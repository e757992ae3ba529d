"""Which units can go, on small networks where it is plain to see."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from nervure.nets.structure.layers import examine
from nervure.sparsify.emptied import Emptied, emptied, takes
from nervure.sparsify.reach import constants


def search(net: nn.Module, example: torch.Tensor) -> Emptied:
    graph = examine(net, example)
    layers = {side.module for group in graph.groups for side in group.sides if side.kind == "in"}
    return emptied(net, graph, constants(net, [example], layers))


def chain(*widths: int, bias: bool = True) -> nn.Sequential:
    """Linear layers with ReLU between, all weights 1 and biases 0.5."""
    net = nn.Sequential()
    for given, gives in pairwise(widths):
        net.extend([nn.Linear(given, gives, bias=bias), nn.ReLU()])
    net = net[:-1].requires_grad_(False)
    for parameter in net.parameters():
        parameter.fill_(1.0 if parameter.ndim > 1 else 0.5)
    return net


def test_removals_spread_to_both_sides() -> None:
    net = chain(2, 3, 3, 1)
    net[4].weight[0, 0] = 0  # unit 0 of layer 2 is read by nobody
    net[2].weight[1:, 0] = 0  # unit 0 of layer 0 is read by that one alone
    net[0].weight[2] = 0  # unit 2 of layer 0 is fed by nobody
    net[2].weight[2, :2] = 0  # unit 2 of layer 2 is fed by that one alone
    found = search(net, torch.randn(3, 2))
    assert {name: gone.tolist() for name, gone in found.gone.items()} == {
        "0": [True, False, True], "2": [True, False, True],
    }  # fmt: skip
    assert dict(found.folded) == {"0": 1, "2": 1}
    # 0.5 goes on to the last unit that stays; relu(1 * 0.5 + 0.5) = 1 is what unit 2 of layer 2 gives.
    assert found.shifts["2"].tolist() == [0, 0, 0.5]
    assert found.shifts["4"].tolist() == [0, 0, 1]
    assert not found.stays


def test_a_layer_keeps_a_unit() -> None:
    net = chain(2, 3, 1)
    net[2].weight[:] = 0
    found = search(net, torch.randn(3, 2))
    assert found.gone["0"].tolist() == [True, True, False]
    assert found.stays["0"] == {"a layer keeps at least one unit": 1}


def test_outputs_are_counted_but_stay() -> None:
    net = chain(2, 3, 2)
    net[2].weight[1] = 0
    found = search(net, torch.randn(3, 2))
    assert not found.gone
    assert found.stays == {"2": {"its units are the network's output": 1}}


def test_grouped_units_go_in_equal_numbers() -> None:
    net = nn.Sequential(nn.Conv2d(1, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 1, groups=2), nn.Flatten(), nn.Linear(64, 2))
    net.requires_grad_(False)
    net[2].weight[:2, :2] = 0  # two of the first group's inputs
    net[2].weight[2:, 2:] = 0  # one of the second's
    found = search(net, torch.randn(3, 1, 4, 4))
    assert found.gone["0"].tolist() == [True, False, False, False, False, True]
    assert found.stays["0"] == {"each part must lose as many": 1}


def test_reasons_name_what_holds_a_unit() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Flatten())
    net.append(nn.Linear(64, 2)).requires_grad_(False)
    net[0].weight[0], net[0].bias[0] = 0, 1
    net[0].weight[1], net[0].bias[1] = 0, -1
    net[2].weight[0] = 0
    found = search(net, torch.randn(3, 1, 4, 4))
    assert found.gone["0"].tolist() == [False, True, False, False]
    assert found.stays == {
        "0": {"its constant is not zero, and '2' cannot take it into its bias": 1},
        "2": {"'3' normalises over the units": 1},
    }


def test_which_layers_take_a_constant() -> None:
    assert takes(nn.Conv2d(1, 1, 3, padding="valid"))
    assert takes(nn.Conv2d(1, 1, 1, padding="same"))
    assert takes(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    assert not takes(nn.Conv2d(1, 1, 3, padding="same"))
    assert not takes(nn.ConvTranspose2d(1, 1, 2, 2))
    assert not takes(nn.LSTM(1, 1))
