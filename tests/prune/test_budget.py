"""Widths, parameters and operations of the published networks, to the integer; and the search for a budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure import nets
from nervure.nets.resnet import resnet50
from nervure.nets.structure.cut import cut
from nervure.nets.structure.groups import Group
from nervure.nets.structure.layers import examine
from nervure.nets.structure.surgery import Graph, trace
from nervure.prune import budget
from nervure.prune.budget import Forecast

Zoo = Callable[[str], tuple[nn.Module, tuple[int, ...]]]


def firsts(graph: Graph, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """The first units of each block: how many matters here, not which."""
    found = {}
    for name, count in counts.items():
        group = graph.group(name)
        blocks = [np.flatnonzero(group.block == one)[: count // group.step] for one in range(group.step)]
        found[name] = np.sort(np.concatenate(blocks))
    return found


class Subject:
    """A network on which only counting is done, so it needs no weights."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...]) -> None:
        self.net, self.shape = net, shape
        self.graph = trace(net, torch.zeros(3, *shape))
        self.forecast = Forecast(net, self.graph.groups, nets.count(net, shape))

    def totals(self, counts: dict[str, int]) -> tuple[int, int]:
        """The forecast, after it proved equal to counting the cut network."""
        cost = nets.count(cut(self.net, self.graph.groups, firsts(self.graph, counts)), self.shape)
        assert self.forecast(counts) == (cost.params, cost.macs)
        return cost.params, cost.macs

    def at(self, share: float, names: list[str], rounding: str = "floor") -> dict[str, int]:
        return budget.uniform([self.graph.group(name) for name in names], share, 1, rounding)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def vgg() -> Subject:
    with torch.device("meta"):
        return Subject(nets.build("vgg16", in_shape=(3, 32, 32), classes=10), (3, 32, 32))


@pytest.fixture(scope="module", params=[20, 32])
def thin(request: pytest.FixtureRequest) -> tuple[int, Subject]:
    with torch.device("meta"):
        net = nets.build(f"resnet{request.param}", in_shape=(3, 32, 32), classes=10)
    return request.param, Subject(net, (3, 32, 32))


@pytest.fixture(scope="module")
def large() -> Subject:
    with torch.device("meta"):
        return Subject(resnet50((3, 224, 224), 1000), (3, 224, 224))


def convolutions(vgg: Subject) -> list[str]:
    return [group.name for group in vgg.graph.groups if group.name.startswith("features")]


A = (38, 102, 102, 230, 205, 205, 410, 256, 205, 205, 205, 205)
B = (32, 64, 64, 128, 128, 128, 256, 256, 256, 256, 256, 256)
C = (32, 128, 128, 256, 256, 256, 256, 128, 128, 128, 128, 128)


def test_vgg_baseline(vgg: Subject) -> None:
    assert len(convolutions(vgg)) == 13
    assert vgg.forecast({})[1] == 313_463_808


@pytest.mark.parametrize(
    ("share", "consumer", "producer"),
    [(0.7, 154_651_392, 161_250_832), (0.5, 81_368_064, 89_199_616), (0.3, 30_349_224, 37_311_884)],
)
def test_vgg_uniform_shares(vgg: Subject, share: float, consumer: int, producer: int) -> None:
    """Spec majority-voting-pruning, S10: by the layer that reads, or by the layer that gives."""
    names = convolutions(vgg)
    assert vgg.totals(vgg.at(share, names[:-1]))[1] == consumer
    assert vgg.totals(vgg.at(share, names[1:]))[1] == producer


@pytest.mark.parametrize(
    ("widths", "macs", "weights"), [(A, 161_385_004, 69.59), (B, 89_199_616, 74.93), (C, 180_556_800, 78.56)]
)
def test_vgg_published_widths(vgg: Subject, widths: tuple[int, ...], macs: int, weights: float) -> None:
    names = convolutions(vgg)[1:]
    counts = dict(zip(names, widths, strict=True))
    assert vgg.totals(counts)[1] == macs
    thin = cut(vgg.net, vgg.graph.groups, firsts(vgg.graph, counts))
    before, after = (nets.weights(one, nn.Conv2d) for one in (vgg.net, thin))
    assert round(100 * (1 - after / before), 2) == weights


def test_published_widths_were_rounded(vgg: Subject) -> None:
    """Table 6.1 of the thesis: to the nearest, not down."""
    shares = (0.6, 0.8, 0.8, 0.9, 0.8, 0.8, 0.8, 0.5, 0.4, 0.4, 0.4, 0.4)
    groups = [vgg.graph.group(name) for name in convolutions(vgg)[1:]]
    found = [budget.kept_count(group, share, rounding="round") for group, share in zip(groups, shares, strict=True)]
    assert tuple(found) == A


THIN = {
    20: {1.0: 81_626_368, 0.7: 5.656e7, 0.5: 4.152e7, 0.3: 2.349e7},
    32: {1.0: 138_249_472, 0.7: 9.549e7, 0.5: 6.983e7, 0.3: 3.912e7},
}
CAUTIOUS = {20: {0.7: 6.098e7, 0.5: 4.860e7, 0.3: 3.356e7}, 32: {0.7: 9.991e7, 0.5: 7.691e7, 0.3: 4.919e7}}


def test_small_residual_networks(thin: tuple[int, Subject]) -> None:
    """Spec majority-voting-pruning, 13: inner channels of all blocks, or of those that keep the map's size."""
    depth, subject = thin
    inner = [group.name for group in subject.graph.free if not group.shortcut]
    assert len(inner) == (depth - 2) // 2
    for share, flops in THIN[depth].items():
        assert 2 * subject.totals(subject.at(share, inner))[1] == pytest.approx(flops, rel=3e-4)
    same_size = [name for name in inner if name not in ("stages.1.0.conv1", "stages.2.0.conv1")]
    for share, flops in CAUTIOUS[depth].items():
        assert 2 * subject.totals(subject.at(share, same_size))[1] == pytest.approx(flops, rel=3e-4)


def test_resnet50(large: Subject) -> None:
    """Spec majority-voting-pruning, S10, structural check: exact operations, and parameters as published."""
    inner = [group.name for group in large.graph.free if not group.shortcut]
    assert len(inner) == 32
    found = {share: large.totals(large.at(share, inner)) for share in (0.7, 0.5, 0.3)}
    assert [2 * macs for _, macs in found.values()] == [4_880_052_680, 3_412_852_736, 2_194_985_078]
    assert [round(params / 1e6, 3) for params, _ in found.values()] == [16.945, 12.382, 8.665]


def test_the_forecast_is_exact_for_strange_networks(zoo: Zoo, strange: str) -> None:
    net, shape = zoo(strange)
    graph = examine(net, torch.randn(3, *shape))
    if not graph.free:
        return
    forecast = Forecast(net, graph.groups, nets.count(net, shape))
    for at in range(4):
        counts = {}
        for place, group in enumerate(graph.free):
            levels = budget.levels(group)
            counts[group.name] = levels[(at * 7 + place * 3) % len(levels)]
        cost = nets.count(cut(net, graph.groups, firsts(graph, counts)), shape)
        params, macs = forecast(counts)
        assert params == cost.params
        if forecast.exact:
            assert macs == cost.macs


def group(units: int, step: int = 1) -> Group:
    return Group("conv", ("conv",), {}, units, np.arange(units) * step // units, "", False, ())


@given(
    units=st.integers(1, 400),
    share=st.floats(0.001, 1.0),
    multiple=st.sampled_from([1, 2, 8]),
    step=st.sampled_from([1, 2, 4]),
)
def test_kept_counts(units: int, share: float, multiple: int, step: int) -> None:
    one = group(units * step, step)
    for rounding in ("floor", "round"):
        found = budget.kept_count(one, share, multiple, rounding)  # type: ignore[arg-type]
        assert found in budget.levels(one, multiple)
        assert found >= 1
        assert budget.kept_count(one, 1.0, multiple) == one.units
    plain = group(units)
    assert budget.kept_count(plain, share) == max(1, int(np.floor(share * units + 1e-9)))


@given(
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=5),
    limit=st.floats(0.05, 1.0),
    multiple=st.sampled_from([1, 4]),
)
def test_a_search_ends_where_no_step_fits(sizes: list[int], limit: float, multiple: int) -> None:
    groups = [
        Group(f"g{at}", (f"g{at}",), {}, units, np.zeros(units, dtype=np.int64), "", False, ())
        for at, units in enumerate(sizes)
    ]

    def cost(counts: dict[str, int]) -> int:
        values = [3, *counts.values(), 2]
        return sum(one * two for one, two in itertools.pairwise(values))

    whole = cost({one.name: one.units for one in groups})
    found = budget.search(
        budget.shares(groups, multiple), lambda counts: cost(counts) <= limit * whole, groups, multiple
    )
    if found is None:
        assert cost({one.name: budget.levels(one, multiple)[0] for one in groups}) > limit * whole
        return
    assert cost(found) <= limit * whole
    for one in groups:
        more = [level for level in budget.levels(one, multiple) if level > found[one.name]]
        assert not more or cost({**found, one.name: more[0]}) > limit * whole


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_a_number_is_divided_over_parts(sizes: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(len(sizes), sum(sizes)))
    parts = budget.shared(amount, sizes)
    assert sum(parts) == amount
    assert all(1 <= part <= size for part, size in zip(parts, sizes, strict=True))
