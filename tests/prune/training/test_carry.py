"""Where parameters come from, checked on what cutting really does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.structure.check import halves
from nervure.nets.structure.cut import cut
from nervure.nets.structure.surgery import trace
from nervure.prune.training import parameter_map, parameter_masks


def networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    image = torch.randn(2, 1, 8, 8)
    return {
        "mlp": (nets.build("mlp", in_shape=(1, 8, 8), classes=3, widths=(9, 7), batch_norm=True), image),
        "flatten": (nets.build("small-cnn", in_shape=(1, 8, 8), classes=3, width=0.125, head=(8,)), image),
        "residual": (nets.build("resnet20", in_shape=(1, 8, 8), classes=3), image),
        "depthwise": (
            nn.Sequential(
                nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(96, 3)
            ),
            image,
        ),
    }


@pytest.mark.parametrize("name", ["mlp", "flatten", "residual", "depthwise"])
def test_the_map_gives_what_cutting_gives(name: str) -> None:
    net, example = networks()[name]
    graph = trace(net, example)
    kept = halves(graph)
    assert kept
    thin = dict(cut(net, graph.groups, kept).named_parameters())
    old = dict(net.named_parameters())
    found = parameter_map(net, graph.groups, kept)
    assert found.keys() == thin.keys()
    for one, source in found.items():
        assert torch.equal(source.of(old[source.name].detach()), thin[one]), one


@pytest.mark.parametrize("name", ["mlp", "flatten", "residual", "depthwise"])
def test_masks_leave_as_many_weights_as_cutting(name: str) -> None:
    net, example = networks()[name]
    graph = trace(net, example)
    kept = halves(graph)
    thin = dict(cut(net, graph.groups, kept).named_parameters())
    masks = parameter_masks(net, graph.groups, kept)
    for one, parameter in net.named_parameters():
        stays = int(masks[one].sum()) if one in masks else parameter.numel()
        assert stays == thin[one].numel(), one


def test_a_grouped_convolution_has_no_positions() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 3, groups=2), nn.Flatten(), nn.Linear(64, 2))
    graph = trace(net, torch.randn(2, 1, 8, 8))
    kept = {"0": [0, 1, 5, 6]}
    assert "1.weight" not in parameter_map(net, graph.groups, kept)
    with pytest.raises(InputError, match=r"'1\.weight' belongs to a grouped convolution"):
        parameter_masks(net, graph.groups, kept)
