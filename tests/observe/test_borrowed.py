"""A borrowed network comes back as it was."""

import pytest
import torch
from torch import nn

from nervure.observe.borrowed import borrowed, device_of


@pytest.fixture
def net() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(), nn.LSTM(2, 2))
    net[1].eval()
    net[0].bias.requires_grad_(False)
    return net


def snapshot(net: nn.Module) -> list[object]:
    flags = [(name, p.requires_grad, p.grad) for name, p in net.named_parameters()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    return [[m.training for m in net.modules()], flags, hooks, fused, torch.backends.cudnn.enabled]


@pytest.mark.parametrize("frozen", [False, True])
def test_modes_and_flags_come_back_also_after_an_error(net: nn.Sequential, frozen: bool) -> None:
    before = snapshot(net)
    with borrowed(net, "cpu", frozen=frozen):
        assert not any(module.training for module in net.modules())
        assert any(p.requires_grad for p in net.parameters()) is not frozen
    assert snapshot(net) == before
    with pytest.raises(RuntimeError, match="half-way"), borrowed(net, frozen=frozen):
        raise RuntimeError("half-way")
    assert snapshot(net) == before


def test_the_device_of_nets_without_parameters() -> None:
    assert device_of(nn.ReLU()).type == "cpu"
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
