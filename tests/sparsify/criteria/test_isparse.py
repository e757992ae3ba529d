"""iSparse against the worked example, the printed recursion, and sums over single paths."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nervure import sparsify
from nervure.data import Batch, Dataset
from nervure.errors import InputError
from nervure.judge import judge, layers_of
from nervure.nets import build
from nervure.observe.absolute import backed_scores
from nervure.sparsify.criteria.isparse import ISparse, edge_scores
from nervure.sparsify.layers import checked, prunable
from nervure.sparsify.select import highest

GRAPHS = settings(max_examples=15)


def units_of(net: nn.Module, x: Tensor, final: Tensor, **options: Any) -> dict[str, Tensor]:
    return backed_scores(net, x, final, [layer.name for layer in layers_of(net)], **options)


def recursion(weights: list[Tensor], final: Tensor) -> list[Tensor]:
    """``N_{l-1} = |W_l|^T N_l``, for the layers from the last to the first."""
    scores = [final]
    for weight in weights[:0:-1]:
        scores.append(weight.abs().T @ scores[-1])
    return scores[::-1]


class Paths:
    """Nodes and weighted edges; the score of a node is the sum over all paths to the outputs, one by one."""

    def __init__(self) -> None:
        self.edges: dict[Any, list[tuple[Any, float]]] = {}

    def join(self, start: Any, end: Any, weight: float) -> None:
        self.edges.setdefault(start, []).append((end, abs(weight)))

    def score(self, node: Any, final: Callable[[Any], float | None]) -> float:
        here = final(node)
        if here is not None:
            return here
        return sum(weight * self.score(end, final) for end, weight in self.edges.get(node, []))

    def conv(self, source: str, target: str, conv: nn.Conv2d, side: int) -> int:
        """Every product of a convolution, in plain loops; the side of its output."""
        kernel, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        out = (side + 2 * padding - kernel) // stride + 1
        share = conv.out_channels // conv.groups
        width = conv.in_channels // conv.groups
        for o, c, i, j, y, x in itertools.product(
            range(conv.out_channels), range(width), range(kernel), range(kernel), range(out), range(out)
        ):
            row, column = y * stride + i - padding, x * stride + j - padding
            if 0 <= row < side and 0 <= column < side:
                start = (source, o // share * width + c, row, column)
                self.join(start, (target, o, y, x), float(conv.weight.detach()[o, c, i, j]))
        return out

    def channels(self, name: str, count: int, side: int, final: Callable[[Any], float | None]) -> np.ndarray:
        places = list(itertools.product(range(side), range(side)))
        found = np.array([sum(self.score((name, c, y, x), final) for y, x in places) for c in range(count)])
        return found / found.sum()


class TestWorkedExample:
    def test_scores_of_units(self, worked: nn.Sequential) -> None:
        found = units_of(worked, torch.zeros(1, 2), torch.tensor([1.0, 2.0]))
        assert torch.allclose(found["0"] * 5.7, torch.tensor([4.5, 1.2], dtype=torch.float64), atol=1e-12, rtol=0)
        assert torch.allclose(found["1"] * 3, torch.tensor([1.0, 2.0]).double(), atol=1e-12, rtol=0)

    def test_scores_of_edges_and_masks(self, worked: nn.Sequential) -> None:
        first, second = worked[0].weight.abs(), worked[1].weight.abs()
        ones = torch.tensor([4.5, 1.2], dtype=torch.float64)
        edges = {"0": edge_scores(first, ones) * 4.5, "1": edge_scores(second, torch.tensor([1.0, 2.0])) * 2}
        assert edges["0"].numpy() == pytest.approx(np.array([[4.5, 9], [3.6, 0.6]]), abs=1e-12)
        assert edges["1"].numpy() == pytest.approx(np.array([[0.5, 1], [4, 0.2]]), abs=1e-12)
        assert highest(edges["0"], 2).tolist() == [[True, True], [False, False]]
        assert highest(first, 2).tolist() == [[False, True], [True, False]]

    def test_through_the_engine(self, worked: nn.Sequential) -> None:
        criterion = ISparse(_final=(torch.tensor([1.0, 2.0]),))
        batch = Batch(torch.zeros(1, 2, dtype=torch.float64), None, torch.arange(1))
        mask = highest(judge(worked, [batch], {"": criterion})[""]["0"].scores, 2)
        assert mask.tolist() == [[True, True], [False, False]]


class TestEngine:
    @given(st.integers(0, 2**31), st.lists(st.integers(1, 7), min_size=2, max_size=5))
    def test_it_is_the_printed_recursion(self, seed: int, widths: list[int]) -> None:
        torch.manual_seed(seed)
        layers = [nn.Linear(one, two).double() for one, two in itertools.pairwise(widths)]
        net = nn.Sequential(*[part for layer in layers for part in (layer, nn.Tanh())])
        final = torch.rand(widths[-1]).double() + 0.1
        found = units_of(net, torch.zeros(1, widths[0]), final)
        printed = recursion([layer.weight.detach() for layer in layers], final)
        for one, other in zip(found.values(), printed, strict=True):
            assert torch.allclose(one, other / other.sum(), atol=1e-12, rtol=1e-12)

    @GRAPHS
    @given(st.integers(0, 2**31), st.integers(1, 2), st.integers(0, 1), st.sampled_from([1, 2]))
    def test_it_sums_paths_of_convolutions_and_pooling(self, seed: int, stride: int, padding: int, groups: int) -> None:
        torch.manual_seed(seed)
        one = nn.Conv2d(2, 2, 2, stride=stride, padding=padding, groups=groups).double()
        two = nn.Linear(2 * 4, 2).double()
        net = nn.Sequential(one, nn.ReLU(inplace=True), nn.AdaptiveMaxPool2d(2), nn.Flatten(), two)
        if (4 + 2 * padding - 2) // stride + 1 not in (2, 4):
            net[0] = one = nn.Conv2d(2, 2, 2, stride=2, padding=0, groups=groups).double()
        final = torch.rand(2).double() + 0.1
        paths = Paths()
        side = paths.conv("x", "a", one, 4)
        for c, y, x in itertools.product(range(2), range(side), range(side)):
            window = side // 2
            paths.join(("a", c, y, x), ("p", c, y // window, x // window), 1 / window**2)
        for o, (c, y, x) in itertools.product(range(2), itertools.product(range(2), repeat=3)):
            paths.join(("p", c, y, x), ("z", o), float(two.weight[o, c * 4 + y * 2 + x]))
        wanted = paths.channels("a", 2, side, lambda node: float(final[node[1]]) if node[0] == "z" else None)
        found = units_of(net, torch.zeros(1, 2, 4, 4), final)["0"]
        assert found.numpy() == pytest.approx(wanted, abs=1e-12)

    @GRAPHS
    @given(st.integers(0, 2**31), st.booleans())
    def test_it_sums_paths_of_residual_branches_and_norms(self, seed: int, fold: bool) -> None:
        torch.manual_seed(seed)

        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stem, self.a = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 2, padding=1)
                self.norm, self.b = nn.BatchNorm2d(2), nn.Conv2d(2, 2, 2)

            def forward(self, x: Tensor) -> Tensor:
                x = torch.relu(self.stem(x))
                return (self.b(torch.relu(self.norm(self.a(x)))) + x).mean((2, 3))

        net = Residual().double().eval()
        nn.init.normal_(net.norm.weight)
        net.norm.running_var.uniform_(0.1, 3)
        final = torch.rand(2).double() + 0.1
        paths = Paths()
        side = 2
        wide = paths.conv("s", "a", net.a, side)
        scale = net.norm.weight.abs() / (net.norm.running_var + net.norm.eps).sqrt() if fold else torch.ones(2)
        for c, y, x in itertools.product(range(2), range(wide), range(wide)):
            paths.join(("a", c, y, x), ("n", c, y, x), float(scale[c]))
        assert paths.conv("n", "b", net.b, wide) == side
        for c, y, x in itertools.product(range(2), range(side), range(side)):
            paths.join(("b", c, y, x), ("z", c), 0.25)
            paths.join(("s", c, y, x), ("z", c), 0.25)

        def ends(node: Any) -> float | None:
            return float(final[node[1]]) if node[0] == "z" else None

        found = units_of(net, torch.zeros(1, 1, side, side), final, norms="fold" if fold else "ignore")
        for name, key, width in (("stem", "s", side), ("a", "a", wide), ("b", "b", side)):
            assert found[name].numpy() == pytest.approx(paths.channels(key, 2, width, ends), abs=1e-12)

    def test_it_is_the_rule_by_channel_where_nothing_is_padded(self) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 2), nn.ReLU(), nn.Conv2d(4, 3, 4)).double()
        final = torch.tensor([1.0, 2.0, 3.0]).double()
        found = units_of(net, torch.zeros(1, 3, 7, 7), final)
        scores = final
        for name in ("2", "0"):
            above = net[int(name) + 2].weight.detach().abs().sum((2, 3))
            scores = above.T @ scores
            assert torch.allclose(found[name], scores / scores.sum(), atol=1e-12)

    def test_several_outputs_add_up(self) -> None:
        torch.manual_seed(1)

        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stem, self.one, self.two = nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(3, 4)

            def forward(self, x: Tensor) -> dict[str, Tensor]:
                x = self.stem(x)
                return {"one": self.one(x), "two": self.two(x)}

        net = Two().double()
        finals = [torch.rand(2).double(), torch.rand(4).double()]
        found = backed_scores(net, torch.zeros(1, 2), finals, ["stem", "one"])
        wanted = net.one.weight.abs().T @ finals[0] + net.two.weight.abs().T @ finals[1]
        assert torch.allclose(found["stem"], wanted / wanted.sum(), atol=1e-12)
        assert torch.allclose(found["one"], finals[0] / finals[0].sum())
        batch = Batch(torch.rand(4, 2, dtype=torch.float64), None, torch.arange(4))
        assert set(judge(net, [batch], {"": ISparse()})[""]) == {"stem", "one", "two"}

    def test_transposed_convolutions_have_a_rule(self) -> None:
        net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ConvTranspose2d(2, 3, 2)).double()
        found = backed_scores(net, torch.zeros(1, 1, 4, 4), torch.ones(3), ["0"])["0"]
        wanted = net[1].weight.detach().abs().sum((1, 2, 3))
        assert torch.allclose(found, wanted / wanted.sum(), atol=1e-12)

    def test_an_operation_without_a_rule_is_named_and_can_be_given_one(self) -> None:
        class Odd(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.one, self.two = nn.Linear(2, 3), nn.Linear(3, 3)

            def forward(self, x: Tensor) -> Tensor:
                return self.two(torch.sin(self.one(x)))

        net = Odd()
        with pytest.raises(InputError, match=r"no rule for the operation 'sin'; .*rules=\{'sin': 'passed'\}"):
            sparsify.plan(net, None, "isparse", initial="identity", example=torch.zeros(1, 2))
        options = {"initial": "identity", "example": torch.zeros(1, 2)}
        one = sparsify.plan(net, None, "isparse", rules={"sin": "passed"}, **options)
        two = sparsify.plan(net, None, "isparse", rules={"sin": lambda call: call.args[0]}, **options)
        assert one.compare(two).whole == 1
        with pytest.raises(InputError, match="rule for 'sin': unknown kind 'pass'; did you mean 'passed'"):
            sparsify.plan(net, None, "isparse", rules={"sin": "pass"}, **options)


class TestInvariance:
    @pytest.fixture
    def net(self) -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3, groups=2),
            nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4, 5),
        ).eval()  # fmt: skip

    X = torch.zeros(1, 2, 8, 8)

    def masks(self, net: nn.Module, final: Tensor | None = None) -> dict[str, Tensor]:
        criterion = ISparse(_final=(torch.arange(1.0, 6) if final is None else final,))
        found = judge(net, [Batch(self.X, None, torch.arange(1))], {"": criterion})[""]
        return {name: highest(one.scores, one.scores.numel() // 2) for name, one in found.items()}

    def test_scores_are_not_negative_and_scale_does_not_matter(self, net: nn.Module) -> None:
        found = units_of(net, self.X, torch.arange(1.0, 6))
        assert all((one >= 0).all() for one in found.values())
        for name, mask in self.masks(net, torch.arange(1.0, 6) * 1e-6).items():
            assert torch.equal(mask, self.masks(net)[name])

    def test_signs_do_not_matter(self, net: nn.Module) -> None:
        other = copy.deepcopy(net)
        with torch.no_grad():
            other[0].weight.mul_(torch.where(torch.rand(6, 2, 3, 3) > 0.5, 1.0, -1.0))
            other[7].weight.neg_()
        for name, mask in self.masks(other).items():
            assert torch.equal(mask, self.masks(net)[name])

    def test_permuted_units_have_permuted_masks(self) -> None:
        torch.manual_seed(4)
        net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))
        order = torch.randperm(7)
        other = copy.deepcopy(net)
        with torch.no_grad():
            other[0].weight[:] = net[0].weight[order]
            other[2].weight[:] = net[2].weight[:, order]
        batch = [Batch(torch.zeros(1, 5), None, torch.arange(1))]
        criterion = ISparse(_final=(torch.arange(1.0, 5),))
        one, two = (judge(each, batch, {"": criterion})[""] for each in (net, other))
        masks = {name: highest(judged.scores, judged.scores.numel() // 2) for name, judged in one.items()}
        assert torch.equal(highest(two["0"].scores, 17), masks["0"][order])
        assert torch.equal(highest(two["2"].scores, 14), masks["2"][:, order])

    def test_with_equal_units_it_is_magnitude(self) -> None:
        net = nn.Linear(6, 9)
        one = sparsify.plan(net, None, "isparse", 0.6, initial="identity", example=torch.zeros(1, 6))
        assert one.compare(sparsify.plan(net, None, "magnitude", 0.6)).whole == 1
        size = net.weight.detach().abs()
        assert torch.equal(highest(edge_scores(size, torch.ones(9)), 20), highest(size, 20))

    def test_the_network_is_left_as_it_was(self, net: nn.Module, ds: Dataset) -> None:
        net.train()
        net[1].eval()
        before = copy.deepcopy(net.state_dict())
        self.masks(net)
        assert [module.training for module in net] == [True, False, *[True] * 6]
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


class TestReadings:
    def test_by_the_input_that_an_edge_comes_from(self) -> None:
        torch.manual_seed(5)
        weight, units = torch.rand(4, 3, 2, 2).double(), torch.rand(4).double()
        found = edge_scores(weight, units, "input", groups=2)
        for o, c in itertools.product(range(4), range(3)):
            mates = range(0, 2) if o < 2 else range(2, 4)
            above = sum(float(units[k] / units.max()) * float(weight[k, c].sum()) for k in mates)
            assert torch.allclose(found[o, c], weight[o, c] * above, atol=1e-12)

    def test_both_readings_run(self, ds: Dataset) -> None:
        net = build("lenet5", ds, seed=0)
        one, two = (sparsify.plan(net, ds, "isparse", reading=reading) for reading in ("output", "input"))
        assert 0.5 < one.compare(two).whole < 1


@pytest.mark.parametrize("options", [{"softmax": False}, {"batch_norm": "ignore"}])
def test_settings_of_responses_and_norms_matter(options: dict[str, Any], ds: Dataset) -> None:
    net = build("mlp", ds, widths=(16,), batch_norm=True, seed=0).eval()
    with torch.no_grad():
        net.classifier[1].weight.copy_(torch.linspace(0.1, 3, 16))
    one, two = (sparsify.plan(net, ds, "isparse", samples=50, **given) for given in ({}, options))
    assert one.compare(two).whole < 1


def test_wrong_settings_are_named() -> None:
    for settings_, said in (
        ({"initial": "lda"}, "initial = 'lda'; give one of inf-fs, identity, pca"),
        ({"batch_norm": "on"}, "batch_norm = 'on'"),
        ({"reading": "both"}, "reading = 'both'"),
        ({"alpha": 2}, "alpha = 2"),
        ({"probe": 0}, "probe = 0"),
    ):
        with pytest.raises(InputError, match=said):
            ISparse(**settings_)
    with pytest.raises(InputError, match="must be prepared"):
        ISparse().judge(checked(prunable(nn.Linear(2, 2)))[0], {}, {})


def test_a_layer_that_is_never_called_is_named(ds: Dataset) -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    net.spare = nn.Linear(2, 2)
    net.forward = lambda x: net[0](x)  # type: ignore[method-assign]
    mask = sparsify.plan(net, None, "isparse", initial="identity", example=torch.zeros(1, 2))
    assert (list(mask.masks), mask.about.notes["not_judged"]) == (["0"], ["spare"])
    with pytest.raises(InputError, match="layer 'spare' was never called"):
        sparsify.plan(net, None, "isparse", initial="identity", example=torch.zeros(1, 2), layers=["spare"])


class TestStrangeNetworks:
    """Every branch, group and join is followed as plain gradients follow it."""

    FINAL = torch.tensor([1.0, 2.0, 3.0, 4.0]).double()

    def found(self, net: nn.Module, shape: Iterable[int]) -> dict[str, Tensor]:
        batch = Batch(torch.rand(1, *shape), None, torch.arange(1))
        judged = judge(net, [batch], {"": ISparse(_final=(self.FINAL,))})[""]
        return {name: one.notes["units"] for name, one in judged.items()}  # type: ignore[misc]

    def positive(self, net: nn.Module, shape: Iterable[int], layers: Iterable[str]) -> dict[str, Tensor]:
        """Plain gradients of a copy without shifts or signs: above zero a ReLU does nothing, nor one up to 6."""
        copied = copy.deepcopy(net).double().requires_grad_(False)
        for name, value in (*copied.named_parameters(), *copied.named_buffers()):
            value.zero_() if name.endswith(("bias", "running_mean")) else value.abs_()
        outs: dict[str, Tensor] = {}
        for name in layers:
            copied.get_submodule(name).register_forward_hook(
                lambda module, args, out, name=name: outs.setdefault(name, out)
            )
        x = torch.full((1, *shape), 1e-6, dtype=torch.float64, requires_grad=True)
        gradients = torch.autograd.grad(copied(x), [*outs.values()], self.FINAL[None])
        units = [one.flatten(2).sum((0, 2)) if one.ndim > 2 else one[0] for one in gradients]
        return {name: one / one.sum() for name, one in zip(outs, units, strict=True)}

    @pytest.mark.parametrize("name", ["residual", "depthwise", "grouped", "dense join", "transposed", "inception"])
    def test_the_scores_are_plain_gradients(
        self, name: str, zoo: Callable[[str], tuple[nn.Module, Iterable[int]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net, shape = zoo(name)
        found = self.found(net, shape)
        monkeypatch.setattr(nn.functional, "max_pool2d", nn.functional.avg_pool2d)  # a maximum counts as a mean
        wanted = self.positive(net, shape, found)
        assert set(found) == set(wanted) == {layer.name for layer in layers_of(net)}
        for layer, one in wanted.items():
            assert one.std() > 1e-3
            assert torch.allclose(found[layer], one, rtol=1e-9)

    def test_a_gate_and_what_it_gates_get_the_score_of_their_product(
        self, zoo: Callable[[str], tuple[nn.Module, Iterable[int]]]
    ) -> None:
        net, shape = zoo("gated")
        product = net.get_parameter("head.weight").detach().abs().double().T @ self.FINAL
        wanted = torch.cat([product, product])
        assert torch.allclose(self.found(net, shape)["a"], wanted / wanted.sum(), rtol=1e-9)
