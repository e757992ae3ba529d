from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nervure import nets, prune
from nervure.errors import InputError
from nervure.nets.structure.cut import cut
from nervure.nets.structure.layers import examine
from nervure.nets.structure.surgery import Graph, trace

Zoo = Callable[[str], tuple[nn.Module, tuple[int, ...]]]


def graph(zoo: Zoo, name: str) -> Graph:
    net, shape = zoo(name)
    return trace(net, torch.zeros(2, *shape))


def free(found: Graph) -> dict[str, tuple[tuple[str, ...], int, int]]:
    return {group.name: (group.layers, group.units, group.step) for group in found.free}


def test_a_plain_network(zoo: Zoo) -> None:
    found = graph(zoo, "plain")
    assert free(found) == {"0": (("0",), 8, 1), "4": (("4",), 12, 1), "7": (("7",), 10, 1)}
    assert dict(found.group("4").consumers) == {"7": 16}
    assert found.group("9").why == "its units are the network's output"


def test_outputs_that_are_added_go_together() -> None:
    net = nets.build("resnet20", in_shape=(3, 32, 32), classes=10)
    found = trace(net, torch.zeros(2, 3, 32, 32))
    stream = found.group("stages.1.0.conv2")
    assert stream.layers == ("stages.1.0.conv2", "stages.1.0.shortcut.0", "stages.1.1.conv2", "stages.1.2.conv2")
    assert stream.shortcut
    inner = found.group("stages.1.0.conv1")
    assert inner.layers == ("stages.1.0.conv1",)
    assert not inner.shortcut
    assert len(found.free) == 9 + 3


def test_grouped_layers_lose_units_of_every_group(zoo: Zoo) -> None:
    found = graph(zoo, "grouped")
    assert free(found) == {"0": (("0",), 16, 4), "2": (("2",), 24, 4), "4": (("4",), 8, 1)}
    assert found.group("0").block.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert graph(zoo, "group norm").group("0").step == 4
    assert "could go together" in graph(zoo, "multiplied").group("0").why


def test_units_that_meet_in_a_product_of_halves_go_in_pairs(zoo: Zoo) -> None:
    group = graph(zoo, "gated").group("a")
    assert group.units == 6
    assert group.side("a").places.tolist() == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]


def test_joins_keep_apart_what_goes_apart(zoo: Zoo) -> None:
    dense = graph(zoo, "dense join")
    assert free(dense) == {name: ((name,), units, 1) for name, units in {"stem": 6, "a": 4, "b": 4, "c": 4}.items()}
    assert dense.group("b").side("head", "in").places.tolist() == [10, 11, 12, 13]
    mixed = graph(zoo, "join plus sum")
    assert free(mixed)["a"] == (("a", "c"), 4, 1)
    assert mixed.group("b").side("c").places.tolist() == [4, 5, 6, 7, 8, 9]


def test_the_input_keeps_its_width(zoo: Zoo) -> None:
    assert "network's input" in graph(zoo, "onto input").group("a").why
    joined = graph(zoo, "joined with input")
    assert joined.group("a").side("b", "in").places.tolist() == [3, 4, 5, 6, 7, 8, 9, 10]


def test_recurrent_layers_read_fewer_but_give_all(zoo: Zoo) -> None:
    for name in ("lstm", "gru"):
        found = graph(zoo, name)
        assert dict(found.group("conv").consumers) == {"rnn": 1}
        assert set(free(found)) == {"conv", "hidden"}


def test_attention_of_torch_keeps_its_width(zoo: Zoo) -> None:
    found = graph(zoo, "encoder")
    assert "MultiheadAttention" in found.group("embed").why
    assert dict(found.group("layer.linear1").consumers) == {"layer.linear2": 1}


def test_gates_are_cut_with_what_they_gate(zoo: Zoo) -> None:
    found = graph(zoo, "squeezed")
    assert free(found)["stem"] == (("stem", "up"), 8, 1)
    assert free(found)["down"] == (("down",), 4, 1)


def test_shared_weights_are_refused_by_name(zoo: Zoo) -> None:
    found = graph(zoo, "tied")
    assert found.group("one").why == "'one' shares its weights with 'two'"
    assert not found.free


def test_weights_that_are_not_plain_are_refused(zoo: Zoo) -> None:
    assert "computed from others" in graph(zoo, "normalised weight").group("2").why


def test_tracing_leaves_the_network_alone(zoo: Zoo) -> None:
    net, shape = zoo("residual")
    net.train()
    net.stem.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    trace(net, torch.zeros(2, *shape))
    assert net.training
    assert not net.stem.weight.requires_grad
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not net.stem._forward_hooks
    assert torch.equal(state, torch.random.get_rng_state())


def test_frozen_networks_are_followed_and_stay_frozen(zoo: Zoo) -> None:
    net, shape = zoo("plain")
    net.requires_grad_(False)
    net[7].requires_grad_(True)
    thin = cut(net, trace(net, torch.zeros(2, *shape)).groups, {"0": [1, 2], "7": [0]})
    assert not thin[0].weight.requires_grad
    assert not thin[4].weight.requires_grad
    assert thin[7].weight.requires_grad


class Peeks(nn.Module):
    """Looks at values, so it cannot run without data."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x))) if float(x.sum()) > -1e9 else x


class Wrong(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x).detach()


def test_networks_that_look_at_values_are_followed_on_a_copy() -> None:
    assert [group.name for group in trace(Peeks(), torch.ones(2, 4)).free] == ["a"]


def test_what_cannot_be_followed_is_named() -> None:
    with pytest.raises(InputError, match=r"Wrong cannot be followed .* module 'b' fails"):
        trace(Wrong(), torch.ones(2, 4))
    with pytest.raises(InputError, match="Detached cannot be followed: no gradient reaches its output"):
        trace(Detached(), torch.ones(2, 4))


def test_cut_slices_every_side(zoo: Zoo) -> None:
    net, shape = zoo("plain")
    thin = cut(net, trace(net, torch.zeros(2, *shape)).groups, {"0": [1, 5], "4": torch.arange(12) < 3, "7": [9]})
    assert torch.equal(thin[0].weight, net[0].weight[[1, 5]])
    assert torch.equal(thin[0].bias, net[0].bias[[1, 5]])
    assert torch.equal(thin[1].running_var, net[1].running_var[[1, 5]])
    assert thin[1].num_features == 2
    assert torch.equal(thin[4].weight, net[4].weight[:3][:, [1, 5]])
    assert torch.equal(thin[7].weight, net[7].weight[[9]][:, : 3 * 16])
    assert net[0].out_channels == 8


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"0": []}, "no unit would stay"),
        ({"0": [8]}, "from 0 to 7"),
        ({"0": torch.ones(5, dtype=torch.bool)}, r"a mask of shape \(5,\)"),
        ({"1": [0]}, "no group '1'"),
        ({"9": [0]}, "'9' cannot be cut: its units are the network's output"),
    ],
)
def test_impossible_cuts_are_refused(zoo: Zoo, kept: dict[str, object], said: str) -> None:
    net, shape = zoo("plain")
    with pytest.raises(InputError, match=said):
        cut(net, trace(net, torch.zeros(2, *shape)).groups, kept)  # type: ignore[arg-type]


class Hides(nn.Module):
    """One layer reads what another gave where no gradient passes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 1), nn.Linear(6, 2)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.head(self.pool(x + self.b(x.detach())))


def test_only_plain_networks_are_beyond_doubt(zoo: Zoo) -> None:
    """A plan tries a cut of all others before it counts on it."""
    image = torch.zeros(2, 3, 32, 32)
    for name in ("vgg16", "resnet20", "resnet18"):
        assert trace(nets.build(name, in_shape=(3, 32, 32), classes=10, width=0.25), image).certain
    assert trace(nets.build("lenet5", in_shape=(1, 28, 28), classes=10), torch.zeros(2, 1, 28, 28)).certain
    assert graph(zoo, "plain").certain
    assert graph(zoo, "depthwise").certain
    doubtful = ("hard view", "called twice", "chunk then join", "swapped", "shuffled", "hidden", "grouped")
    assert not any(graph(zoo, name).certain for name in doubtful)
    assert not trace(Hides(), torch.zeros(2, 1, 8, 8)).certain
    whole = {one.name: one.why for one in examine(Hides(), torch.randn(2, 1, 8, 8)).groups}
    assert "fails" in whole["a"]


class Shuffled(nn.Module):
    """Units that work on one half of the channels and shuffle both, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 3)
        self.units = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU()) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for unit in self.units:
            one, two = x.chunk(2, dim=1)
            x = torch.cat((one, unit(two)), 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def test_channels_that_are_shuffled_again_and_again_are_followed() -> None:
    net = Shuffled()
    graph = examine(net, torch.randn(3, 1, 8, 8))
    assert {"units.0.0", "units.1.0", "units.2.0"} <= {group.name for group in graph.free}
    plan = prune.plan(net, None, "l1", prune.Target(keep=0.5), example=torch.randn(3, 1, 8, 8))
    x = torch.randn(4, 1, 8, 8)
    assert torch.allclose(plan.apply(net).eval()(x), plan.masked(net).eval()(x), atol=1e-5)


class Turned(nn.LayerNorm):
    """A norm over the units of maps, as ConvNeXt has it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_norm_that_turns_its_units_to_the_last_axis_is_cut() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), Turned(8), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )
    nn.init.uniform_(net[1].weight, 0.5, 2)
    x = torch.randn(3, 1, 10, 10)  # maps of 8 x 8 before 8 units, so that no size tells the axis
    assert [group.name for group in examine(net, x).free] == ["0", "2"]
    plan = prune.plan(net, None, "l1", prune.Target(keep=0.5), example=x)
    assert torch.allclose(plan.apply(net).eval()(x), plan.masked(net).eval()(x), atol=1e-5)


def test_pooled_and_flattened_maps_join_a_table() -> None:
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps, self.table, self.head = nn.Conv2d(1, 8, 3), nn.Linear(5, 12), nn.Linear(20, 3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            pooled = F.adaptive_avg_pool2d(F.relu(self.maps(x)), 1).flatten(1)
            out: Tensor = self.head(torch.cat([pooled, F.relu(self.table(y))], 1))
            return out

    graph = examine(Fused(), [torch.randn(3, 1, 8, 8), torch.randn(3, 5)])
    assert [(group.name, group.layers, group.units) for group in graph.free] == [
        ("maps", ("maps",), 8), ("table", ("table",), 12)
    ]  # fmt: skip


def waiting(ready: threading.Event, other: threading.Event) -> nn.Module:
    """A network that says that it runs, and waits for another to do so."""

    class Waiting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            ready.set()
            other.wait(0.2)
            return super().forward(x)

    return Waiting(4, 2)


def test_networks_that_are_followed_at_one_time_leave_nothing_behind() -> None:
    from torch_pruning.dependency import index_mapping, shape_infer

    before = shape_infer.infer_in_channels_recursively, index_mapping.update_reshape_index_mapping
    filters = list(warnings.filters)
    first, second, done = threading.Event(), threading.Event(), threading.Event()

    def follow(net: nn.Module, then: threading.Event) -> None:
        trace(net, torch.zeros(2, 4))
        then.set()

    one = threading.Thread(target=follow, args=(waiting(first, second), done))
    two = threading.Thread(target=follow, args=(waiting(second, done), threading.Event()))
    one.start()
    first.wait(5)
    two.start()
    for thread in (one, two):
        thread.join(10)
    assert (shape_infer.infer_in_channels_recursively, index_mapping.update_reshape_index_mapping) == before
    assert warnings.filters == filters
