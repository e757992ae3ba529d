from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from nervure.judge import judge, layers_of
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
