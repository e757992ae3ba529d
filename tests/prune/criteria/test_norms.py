from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from nervure.judge import Layer, judge, layers_of
from nervure.prune.criteria.norms import L1, L2


def test_by_hand(toy: Any) -> None:
    assert toy("l1").scores.tolist() == [1.0, 1.0, 2.0]
    assert toy("l2").scores.tolist() == [1.0, 1.0, 2.0]


def test_every_kind_of_layer_and_scale() -> None:
    for layer in (nn.Linear(5, 4), nn.Conv1d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Conv3d(2, 4, 2)):
        net = nn.Sequential(layer)
        rows = layer.weight.detach().double().flatten(1).numpy()
        found = judge(net, [], {"l1": L1(), "l2": L2()}, layers=layers_of(net))
        assert np.allclose(found["l1"]["0"].scores, np.abs(rows).sum(1))
        assert np.allclose(found["l2"]["0"].scores, np.linalg.norm(rows, axis=1))
        with torch.no_grad():
            layer.weight *= -3
        again = judge(net, [], {"l1": L1(), "l2": L2()}, layers=layers_of(net))
        for name in found:
            assert np.allclose(again[name]["0"].scores, 3 * found[name]["0"].scores)


def test_units_of_transposed_convolutions() -> None:
    """Silencing all inputs but one shows which weights a unit reads, whatever the groups."""
    for layer in (nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.ConvTranspose1d(2, 3, 2, bias=False)):
        net = nn.Sequential(layer)
        found = judge(net, [], {"l1": L1()}, layers=[Layer("0", layer, layer.out_channels)])["l1"]["0"].scores
        point = torch.eye(layer.in_channels).reshape(
            layer.in_channels, layer.in_channels, *[1] * (layer.weight.ndim - 2)
        )
        reached = layer(point).abs().flatten(2).sum(dim=(0, 2))
        assert np.allclose(found.numpy(), reached.detach().numpy(), rtol=1e-5)
