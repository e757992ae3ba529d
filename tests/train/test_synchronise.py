"""Batch norm over a group of one equals torch's own, and can be put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from nervure.train.synchronise import GroupBatchNorm, count_statistics, desynchronise, synchronise


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(3), (5, 3)),
        (nn.BatchNorm1d(3), (5, 3, 4)),
        (nn.BatchNorm2d(3, momentum=None), (5, 3, 4, 4)),
    ],
)
def test_equals_torch(group: None, norm: nn.Module, shape: tuple[int, ...]) -> None:
    import copy

    plain, ours = nn.Sequential(copy.deepcopy(norm)), synchronise(nn.Sequential(copy.deepcopy(norm)))
    for seed in range(3):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        grads = []
        for net in (plain, ours):
            leaf = x.clone().requires_grad_()
            (net(leaf).sigmoid() * torch.arange(3.0).view(1, 3, *[1] * (len(shape) - 2))).sum().backward()
            grads.append(leaf.grad)
        assert torch.allclose(grads[0], grads[1], atol=1e-5)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value.double(), ours.state_dict()[name].double(), atol=1e-6), name
    assert torch.allclose(plain.eval()(x), ours.eval()(x), atol=1e-6)


def test_is_undone(group: None) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2)))
    weight = net[1][0].weight
    synchronise(net)
    assert isinstance(net[1][0], GroupBatchNorm)
    assert net[1][0].weight is weight
    desynchronise(net)
    assert type(net[1][0]) is nn.BatchNorm2d
    assert net[1][0].weight is weight
    assert net[1][0].eps == 1e-5
    net(torch.ones(2, 1, 2, 2)).sum().backward()


def test_an_empty_process_adds_nothing(group: None) -> None:
    net = synchronise(nn.Sequential(nn.BatchNorm1d(2, momentum=1.0)))
    count_statistics(net, False)
    net(torch.full((4, 2), 7.0))
    assert float(net[0].running_mean.abs().max()) == 0.0
