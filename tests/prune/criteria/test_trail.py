from __future__ import annotations

import torch
from torch import nn

from nervure.judge import Layer, layers_of
from nervure.observe import Site
from nervure.prune.criteria.trail import trails


def test_a_block_with_pool_and_flatten() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 5), nn.Sigmoid(), nn.BatchNorm1d(5), nn.Linear(5, 2),
    )  # fmt: skip
    found = trails(net, torch.zeros(2, 1, 8, 8), layers_of(net))
    assert (found["0"].norm, found["0"].active, found["0"].mapped) == ("1", Site("2"), Site("4"))
    assert (found["6"].norm, found["6"].active) == ("8", Site("7"))
    assert (found["9"].norm, found["9"].active) == (None, None)


def test_another_layer_ends_the_trail() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    found = trails(net, torch.zeros(2, 2), [Layer("0", net[0], 2)])
    assert found["0"].norm is None


def test_where_units_are_maps() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
    layer = Layer("0", net[0], 4, Site("4", "input"), 9)
    found = trails(net, torch.zeros(2, 1, 8, 8), [layer])["0"]
    assert found.maps(layer) == Site("2")
    assert found.maps(layer, "active") == Site("1")
