from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.observe.absolute import Absolute, backed_scores
from nervure.observe.relevance import relevance
from nervure.observe.rewritten import KINDS, Call, running


def test_every_kind_has_a_rule() -> None:
    for kind in set(KINDS.values()):
        assert callable(getattr(Absolute, kind))


def test_in_place_forms_run_on_a_copy() -> None:
    x = torch.tensor([-1.0, 1.0])
    for call in (
        Call(torch.relu_, "relu", (x,), {}),
        Call(nn.functional.relu, "relu", (x,), {"inplace": True}),
        Call(torch.Tensor.add_, "add", (x, 1.0), {}),
    ):
        assert call.run() is not x
        assert x.tolist() == [-1.0, 1.0]


def test_layers_are_known_while_they_are_called_also_after_an_error() -> None:
    seen = []

    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(mode.layer)
            if float(x.sum()) > 5:
                raise RuntimeError
            return x

    net = nn.Sequential(Inner(), nn.Identity())
    mode = Absolute()
    with running(net, mode, ["0"]):
        net(torch.zeros(1))
        with pytest.raises(RuntimeError):
            net(torch.full((1,), 9.0))
        assert mode.layer is None
    assert seen == ["0", "0"]
    assert not net[0]._forward_hooks


class Written(nn.Module):
    """Two layers joined by ``way``: written in place, or spelled out."""

    def __init__(self, way: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.side, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.way(self, self.stem(x)).mean((2, 3)))


def added_to(net: nn.Module, x: Tensor) -> Tensor:
    y = net.side(x)
    y.add_(x)
    return y


def a_statement_of_an_activation(net: nn.Module, x: Tensor) -> Tensor:
    x.relu_()
    return net.side(x) + x


def a_module_before_a_shortcut(net: nn.Module, x: Tensor) -> Tensor:
    return net.side(nn.ReLU(inplace=True)(x)) + x


def what_was_read_before(net: nn.Module, x: Tensor) -> Tensor:
    y = net.side(x)
    x += y
    x.relu_()
    return x


def a_part_of_it(net: nn.Module, x: Tensor) -> Tensor:
    y = net.side(x)
    y[:, :2].add_(x[:, 2:])
    y[:, 3] = 0
    return y


def a_view_taken_before(net: nn.Module, x: Tensor) -> Tensor:
    flat = x.flatten(2)
    x.add_(net.side(x))
    return flat.unflatten(2, x.shape[2:])


def parts_apart(net: nn.Module, x: Tensor) -> Tensor:
    one, two = x.chunk(2, 1)
    one *= 2
    return torch.cat([two, one], 1) + net.side(x)


def zeros_filled(net: nn.Module, x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out += net.side(x)
    out[:, :3].add_(x[:, 1:])
    return out


WAYS = [
    (added_to, lambda net, x: net.side(x) + x),
    (a_statement_of_an_activation, lambda net, x: net.side(x.relu()) + x.relu()),
    (a_module_before_a_shortcut, lambda net, x: net.side(x.relu()) + x.relu()),
    (what_was_read_before, lambda net, x: (x + net.side(x)).relu()),
    (
        a_part_of_it,
        lambda net, x: torch.cat([(y := net.side(x))[:, :2] + x[:, 2:], y[:, 2:3], torch.zeros_like(y[:, :1])], 1),
    ),
    (a_view_taken_before, lambda net, x: x + net.side(x)),
    (
        parts_apart,
        lambda net, x: torch.cat([x[:, 2:], (y := x[:, :2] * 2)], 1) + net.side(torch.cat([y, x[:, 2:]], 1)),
    ),
    (zeros_filled, lambda net, x: torch.cat([(y := net.side(x))[:, :3] + x[:, 1:], y[:, 3:]], 1)),
]


class TestWrites:
    """What is written in place is read so afterwards, by whatever name."""

    @pytest.mark.parametrize(("written", "spelled"), WAYS, ids=[one.__name__ for one, _ in WAYS])
    @pytest.mark.parametrize("kind", ["scores", "relevance"])
    def test_scores_and_relevance_are_those_of_the_network_spelled_out(
        self, kind: str, written: Callable[..., Tensor], spelled: Callable[..., Tensor]
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            one, two = Written(written).double().eval(), Written(spelled).double().eval()
            two.load_state_dict(one.state_dict())
            x = torch.randn(3, 1, 6, 6).double()
        with torch.no_grad():
            assert torch.allclose(one(x), two(x))
        before = x.clone()
        layers = ["stem", "side"]
        if kind == "scores":
            found = [backed_scores(net, x, torch.tensor([1.0, 2.0, 3.0]), layers) for net in (one, two)]
        else:
            batch = Batch(x, torch.tensor([0, 1, 2]), torch.arange(3))
            found = [{k: v.units for k, v in relevance(net, [batch], layers).items()} for net in (one, two)]
        for name in layers:
            assert torch.allclose(found[0][name], found[1][name])
        assert torch.equal(x, before)

    def test_a_network_that_ends_with_a_write_gives_what_was_written(self) -> None:
        class Last(nn.Module):
            def __init__(self, written: bool) -> None:
                super().__init__()
                self.a, self.b, self.written = nn.Linear(2, 2), nn.Linear(2, 2), written

            def forward(self, x: Tensor) -> tuple[Tensor, int]:
                y, z = self.a(x), self.b(x)
                if not self.written:
                    return y + z, 0
                y.add_(z)
                return y, 0

        one, two = Last(written=True), Last(written=False)
        two.load_state_dict(one.state_dict())
        final = torch.tensor([1.0, 3.0])
        found = [backed_scores(net, torch.zeros(1, 2), final, ["a", "b"]) for net in (one, two)]
        assert all(torch.allclose(found[0][name], found[1][name]) for name in ("a", "b"))

    def test_a_value_passed_on_is_another_one(self) -> None:
        x = torch.ones(1, 2, requires_grad=True)
        with Absolute():
            y = F.relu(x)
            y.add_(x)
            out = x * 1
        assert torch.autograd.grad(out.sum(), x)[0].tolist() == [[1.0, 1.0]]

    def test_buffers_are_not_written_to(self) -> None:
        held = torch.zeros(1, 2)
        x = torch.ones(1, 2, requires_grad=True)
        with Absolute():
            held.add_(x)
            out = held * 1
        assert out.requires_grad
        assert held.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    "named",
    [
        lambda net, x: F.gelu(input=net.side(x)),
        lambda net, x: F.relu(input=net.side(x), inplace=True),
        lambda net, x: torch.add(input=net.side(x), other=x),
        lambda net, x: torch.sub(net.side(x), other=x),
        lambda net, x: torch.mul(input=net.side(x), other=2.0),
        lambda net, x: torch.flatten(input=net.side(x), start_dim=2).unflatten(2, x.shape[2:]),
        lambda net, x: F.group_norm(input=net.side(x), num_groups=2),
        lambda net, x: F.adaptive_avg_pool2d(input=net.side(x), output_size=2),
    ],
)
def test_operands_may_be_given_by_name(named: Callable[..., Tensor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Written(named).double()
    assert backed_scores(net, torch.zeros(1, 1, 6, 6), torch.ones(3), ["side"])["side"].min() > 0
    batch = Batch(torch.ones(1, 1, 6, 6).double(), torch.tensor([0]), torch.arange(1))
    assert relevance(net, [batch], ["side"])["side"].units.any()


def test_an_operation_without_rule_that_gives_back_what_it_was_given_is_left_alone() -> None:
    x = torch.ones(1, 2, requires_grad=True)
    with Absolute():
        y = x * 1
        assert y.requires_grad_() is y
        assert x.shape == (1, 2)
