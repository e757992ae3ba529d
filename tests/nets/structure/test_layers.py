from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nervure import nets, prune
from nervure.data.dataset import Batch
from nervure.nets.structure.layers import examine, layers_in
from nervure.observe import Moments, Site, collect

Zoo = Callable[[str], tuple[nn.Module, tuple[int, ...]]]


def test_readers_of_a_plain_network(zoo: Zoo) -> None:
    net, shape = zoo("plain")
    found = {layer.name: layer for layer in prune.layers(net, torch.randn(2, *shape))}
    assert {name: (layer.reader, layer.spread) for name, layer in found.items()} == {
        "0": (Site("4", "input"), 1),
        "4": (Site("7", "input"), 16),
        "7": (Site("9", "input"), 1),
    }
    assert found["4"].consumers == ("7",)
    assert found["4"].module is net[4]


def test_units_that_share_their_reader_are_seen_before_it(zoo: Zoo) -> None:
    """Where a consumer reads several layers' units, a layer is seen at its last own module."""
    net, shape = zoo("dense join")
    found = {layer.name: layer for layer in prune.layers(net, torch.randn(2, *shape))}
    assert found["stem"].reader == Site("a", "input")
    assert found["b"].reader == Site("b")
    blocks = nets.build("resnet20", in_shape=(3, 32, 32), classes=10)
    seen = {layer.name: layer.reader for layer in prune.layers(blocks, torch.randn(2, 3, 32, 32))}
    assert seen["stages.1.0.shortcut.0"] == seen["stages.1.0.conv2"] == Site("stages.1.1.conv1", "input")
    assert seen["stages.2.2.conv2"] == Site("classifier", "input")


def test_maps_are_preferred_to_what_a_gate_pools(zoo: Zoo) -> None:
    net, shape = zoo("squeezed")
    found = {layer.name: layer.reader for layer in prune.layers(net, torch.randn(2, *shape))}
    assert found["stem"] in (Site("spatial", "input"), Site("c", "input"))


def test_the_last_own_module_is_after_norm_and_activation() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = net, nn.Conv2d(1, 3, 3, stride=2)
            self.head = nn.Linear(7, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.one(x), self.two(x)], 1).mean((2, 3)))

    found = {layer.name: layer.reader for layer in prune.layers(Joined(), torch.randn(2, 1, 8, 8))}
    assert found == {"one.0": Site("one.3"), "two": Site("two")}


def test_every_reader_shows_just_the_units(zoo: Zoo, strange: str) -> None:
    net, shape = zoo(strange)
    graph = examine(net, torch.randn(3, *shape))
    for layer in layers_in(net, graph, graph.free):
        if strange == "called twice":
            continue
        batch = Batch(torch.randn(4, *shape), None, torch.arange(4))
        seen = collect(net, [batch], {layer.seen: [Moments()]})[layer.seen][Moments().key].result()
        assert len(seen.mean) == layer.units * layer.spread


class OverLargest(nn.Module):
    """Each unit over the largest one of its sample."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.c = nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.b(x)
        return self.c(y / y.max(1, keepdim=True).values)  # type: ignore[no-any-return]


def test_a_unit_that_decides_what_others_do_is_found_in_either_half() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        assert not examine(OverLargest(), torch.randn(3, 6)).free
