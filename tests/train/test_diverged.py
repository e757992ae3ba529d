from __future__ import annotations

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.train.diverged import first_broken


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - 1e3).sqrt()


def batch(value: float = 1.0) -> Batch:
    return Batch(torch.full((3, 4), value), None, torch.arange(3))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Root()), nn.Linear(4, 2))


def test_the_input_then_a_parameter_then_a_layer() -> None:
    broken = net()
    assert first_broken(broken, batch(float("nan"))) == "the input is not finite"
    assert first_broken(broken, batch()) == "the output of layer '1.1' is not finite"
    with torch.no_grad():
        broken[2].bias[0] = float("inf")
    assert first_broken(broken, batch()) == "parameter '2.bias' is not finite"


def test_nothing_to_be_found() -> None:
    whole = nn.Linear(4, 2)
    assert first_broken(whole, batch()) == "the loss is not finite, every layer is"


def test_no_hook_stays_also_after_a_failure() -> None:
    bad = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2))
    for one in (net(), bad):
        try:
            first_broken(one, batch())
        except RuntimeError:
            assert one is bad
        assert all(not module._forward_hooks for module in one.modules())
