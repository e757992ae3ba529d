from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.sparsify.layers import by_call, checked, prunable


class Backwards(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.never = nn.Linear(3, 1), nn.Linear(2, 3), nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x))


def test_order_of_calls() -> None:
    net = Backwards()
    assert list(prunable(net)) == ["last", "first", "never"]
    assert by_call(net, torch.zeros(1, 2), ["last", "first", "never"]) == ["first", "last", "never"]
    assert not net.last._forward_pre_hooks


def test_named_modules_stand_for_all_inside() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2))
    assert list(prunable(net, ["0"], ["0.1"])) == ["0.0"]
    assert list(prunable(nn.Linear(2, 2))) == [""]


@pytest.mark.parametrize(
    ("net", "options", "said"),
    [
        (nn.ReLU(), {}, "ReLU has no linear layer or convolution"),
        (nn.Sequential(nn.Linear(1, 1)), {"exclude": ["1"]}, "unknown layer '1'"),
        (nn.Sequential(nn.Linear(1, 1)), {"layers": ["x"]}, "unknown layer 'x'"),
        (nn.Sequential(nn.Linear(1, 1)), {"exclude": ["0"]}, "no linear layer"),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(1, 1))), {}, "layer '0' computes its weight"),
    ],
)
def test_nothing_to_judge_is_said(net: nn.Module, options: dict[str, list[str]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        prunable(net, **options)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_weights_are_named(value: float) -> None:
    layer = nn.Linear(2, 2).requires_grad_(False)
    layer.weight[1, 1] = value
    with pytest.raises(InputError, match="layer 'fc' has weights that are NaN or infinite"):
        checked({"fc": layer})


def test_large_weights_are_not_broken() -> None:
    layer = nn.Linear(2, 2).requires_grad_(False)
    layer.weight[:] = 3e38
    assert checked({"fc": layer})[0].units == 2
