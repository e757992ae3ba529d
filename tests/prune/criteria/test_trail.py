from __future__ import annotations

import torch
from torch import nn

from nervure.data import Batch
from nervure.judge import Layer, judge, layers_of
from nervure.observe import Site
from nervure.prune.criteria.apoz import APoZ
from nervure.prune.criteria.readers import captured
from nervure.prune.criteria.seen import example_of
from nervure.prune.criteria.thinet import ThiNet
from nervure.prune.criteria.trail import trails


def of(x: torch.Tensor) -> Batch:
    return Batch(x, None, torch.arange(len(x)))


def test_a_block_with_pool_and_flatten() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 5), nn.Sigmoid(), nn.BatchNorm1d(5), nn.Linear(5, 2),
    )  # fmt: skip
    found = trails(net, of(torch.zeros(2, 1, 8, 8)), layers_of(net))
    assert (found["0"].norm, found["0"].active, found["0"].mapped) == ("1", Site("2"), Site("4"))
    assert (found["6"].norm, found["6"].active) == ("8", Site("7"))
    assert (found["9"].norm, found["9"].active) == (None, None)


def test_another_layer_ends_the_trail() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    found = trails(net, of(torch.zeros(2, 2)), [Layer("0", net[0], 2)])
    assert found["0"].norm is None


def test_where_units_are_maps() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
    layer = Layer("0", net[0], 4, Site("4", "input"), 9)
    found = trails(net, of(torch.zeros(2, 1, 8, 8)), [layer])["0"]
    assert found.maps(layer) == Site("2")
    assert found.maps(layer, "active") == Site("1")


def test_whether_the_next_layer_reads_what_lies_behind_the_activation() -> None:
    def read(*between: nn.Module) -> bool:
        net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), *between, nn.Linear(3, 2))
        layer = Layer("0", net[0], 3, Site(str(len(net) - 1), "input"))
        return trails(net, of(torch.randn(4, 2)), [layer])["0"].read

    assert read()
    assert read(nn.Identity())
    assert not read(nn.BatchNorm1d(3))


def test_one_tensor_is_looked_at_once() -> None:
    """Zeros behind the activation and means of what is read are statistics of one place where these are the same."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    layer = Layer("0", net[0], 3, Site("2", "input"))
    batches = [Batch(torch.randn(4, 2), None, torch.arange(4))]
    zeros = APoZ().prepare(net, batches, [layer]).wants(layer)["zeros"]
    assert isinstance(zeros, tuple) and zeros[0] == layer.reader


def test_whether_a_norm_reads_the_very_output() -> None:
    def bare(*between: nn.Module, first: nn.Module | None = None, norm: nn.Module | None = None) -> bool:
        net = nn.Sequential(first or nn.Conv1d(2, 3, 1), *between, norm or nn.BatchNorm1d(3))
        layer = Layer("0", net[0], 3)
        trail = trails(net, of(torch.randn(4, 2, 2)), [layer])["0"]
        assert trail.norm == str(1 + len(between))
        return trail.bare

    assert bare()
    assert bare(nn.Identity())
    assert not bare(nn.ReLU())
    assert not bare(nn.ReLU(inplace=True))
    assert not bare(nn.Flatten(), nn.Unflatten(1, (3, 2)))
    assert not bare(first=nn.Linear(2, 3), norm=nn.BatchNorm1d(2))


def test_masks_of_series_reach_the_network() -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(1, 2, 1), nn.Conv1d(2, 1, 1)

        def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            assert mask is not None
            return self.b((self.a(x) * mask[:, None]).relu())

    net = Asks()
    batch = Batch(torch.randn(3, 1, 4), None, torch.arange(3), torch.arange(4) < torch.tensor([[2], [3], [4]]))
    layer = Layer("a", net.a, 2, Site("b", "input"), 1, ("b",))
    read = Site("b", "input")
    assert not bool(captured(net, example_of([batch]), [read])[read][0, :, 2:].any())
    assert trails(net, example_of([batch]), [layer])["a"].norm is None
    for criterion in (APoZ(), ThiNet()):
        judge(net, [batch], {"one": criterion}, layers=[layer])
