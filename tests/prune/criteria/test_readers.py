from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Layer
from nervure.prune.criteria.readers import Reader, input_sums, outgoing_sums, readers_of


def test_units_are_found_behind_a_concatenation(network: Any) -> None:
    case = network("concat")
    found = readers_of(case.net, case.batches(), case.layers)
    assert [(one.start, one.spread) for one in found["left.0"]] == [(0, 1)]
    assert [(one.start, one.spread) for one in found["right.0"]] == [(5, 1)]
    weight = case.net.joined[0].weight.detach()
    assert float(outgoing_sums(found["right.0"][0])[2]) == pytest.approx(float(weight[:, 7].abs().sum()))


def test_units_are_found_behind_a_concatenation_and_a_flatten() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Conv1d(1, 2, 1), nn.Conv1d(1, 3, 1), nn.Linear(20, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.a(x), self.b(x)], 1).flatten(1))

    net = Two()
    batch = Batch(torch.randn(2, 1, 4), None, torch.arange(2))
    found = readers_of(net, [batch], [Layer("b", net.b, 3, None, 1, ("head",))])["b"][0]
    assert (found.start, found.spread) == (8, 4)
    assert float(outgoing_sums(found)[1]) == pytest.approx(float(net.head.weight.detach()[:, 12:16].abs().sum()))


def test_input_sums_in_every_layout() -> None:
    layers = [nn.Conv2d(4, 6, 3, groups=groups, bias=False) for groups in (1, 2)]
    layers += [nn.Conv1d(4, 8, 2, groups=4, bias=False), nn.Linear(4, 3, bias=False)]
    layers += [nn.ConvTranspose1d(4, 5, 2, bias=False)]
    for layer in layers:
        layer.weight.data.abs_()
        axes = {nn.Linear: 0, nn.Conv1d: 1, nn.ConvTranspose1d: 1, nn.Conv2d: 2}[type(layer)]
        for channel in range(4):
            kernel = 3 if axes == 2 else 2
            x = torch.zeros(1, 4, *[1 if isinstance(layer, nn.ConvTranspose1d) else kernel] * axes)
            x[0, channel] = 1
            assert float(layer(x).detach().sum()) == pytest.approx(float(input_sums(layer)[channel]), rel=1e-5)
    lstm = nn.LSTM(3, 2, bidirectional=True)
    both = torch.cat([lstm.weight_ih_l0, lstm.weight_ih_l0_reverse]).detach()
    assert torch.allclose(input_sums(lstm), both.double().abs().sum(0))


def test_units_that_cannot_be_found() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.ZeroPad1d((2, 0)), nn.Linear(5, 1))
    batch = Batch(torch.randn(2, 2), None, torch.arange(2))
    with pytest.raises(InputError, match=r"layer '0': its 3 units cannot be found .*Layer.reader"):
        readers_of(net, [batch], [Layer("0", net[0], 3, None, 1, ("3",))])
    with pytest.raises(InputError, match="Tanh"):
        readers_of(net, [batch], [Layer("0", net[0], 3, None, 1, ("1",))])


def test_columns() -> None:
    assert Reader("fc", nn.Linear(12, 1), 2, 3, 2).columns == 6
