from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nervure import data, nets
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.resnet import BasicBlock, ResNet
from nervure.objectives.call import call
from nervure.observe.relevance import handed_back, relevance, split_shares


def batch(shape: tuple[int, ...], n: int = 6, classes: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64).abs()
    return Batch(x, torch.randint(0, classes, (n,), generator=generator), torch.arange(n))


def test_the_rule_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    x, w, received = rng.normal(size=5), rng.normal(size=(3, 5)), rng.normal(size=3)
    expected = np.zeros(5)
    for j in range(3):
        shares = np.array([max(x[i] * w[j, i], 0.0) for i in range(5)])
        expected += shares / (shares.sum() + 1e-9) * received[j]
    ours = handed_back(
        torch.from_numpy(x)[None], torch.from_numpy(w), lambda a, v: a @ v.T, torch.from_numpy(received)[None]
    )
    assert ours[0].tolist() == pytest.approx(expected.tolist())


def test_shares_add_up() -> None:
    a, b = torch.randn(100), torch.randn(100)
    share = split_shares(a, b)
    assert ((share >= 0) & (share <= 1)).all()
    assert torch.allclose(share + split_shares(b, a), torch.ones(100))


def bias_free(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    return net.to(torch.float64)


class Joined(nn.Module):
    """Concatenation, a gate, a shortcut by a function, and pools of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 4, 1), nn.Conv2d(7, 7, 3, padding=1)
        self.gate, self.head = nn.Linear(7, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.a(x).relu(), torch.relu_(self.b(x))], 1)
        x = nn.functional.max_pool2d(x, 2)
        x = x + self.c(x).relu()
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))))[..., None, None]
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize(
    ("net", "layers", "shape"),
    [
        (nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), ["0", "2"], (5,)),
        (
            nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(),
                          nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 3)),
            ["0", "4"], (2, 8, 8),
        ),
        (nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)),
         ["0"], (1, 9)),
        (Joined(), ["c"], (2, 6, 6)),
        (ResNet(2, 3, BasicBlock, (1,), (6,)), ["stem.0"], (2, 6, 6)),
    ],
    ids=["mlp", "conv", "series", "joined", "resnet"],
)  # fmt: skip
def test_relevance_is_conserved_without_bias(net: nn.Module, layers: list[str], shape: tuple[int, ...]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    net = bias_free(copy.deepcopy(net))
    # A logit to which nothing adds has no relevance to hand back.
    for last in [module for module in net.modules() if isinstance(module, nn.Linear)][-1:]:
        last.weight.data.abs_()
    if isinstance(net, ResNet | Joined):
        # What a shortcut or a second branch carries is relevance too: make the layer the only way.
        for name, parameter in net.named_parameters():
            parameter.data.abs_()
            if name.startswith("c."):
                parameter.data *= 100.0
    found = relevance(net, [batch(shape)], layers)
    for name in layers:
        result = found[name]
        assert float(result.units.sum()) == pytest.approx(result.start, rel=0.01)


def test_batch_norm_is_folded() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv, norm = nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        tail = [nn.ReLU(), nn.Conv2d(5, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    net = nn.Sequential(conv, norm, *tail).to(torch.float64).eval()
    folded = nn.Sequential(torch.nn.utils.fusion.fuse_conv_bn_eval(net[0], net[1]), nn.Identity(), *net[2:])
    first, second = (relevance(one, [batch((2, 6, 6))], ["0", "3"]) for one in (net, folded))
    for name in ("0", "3"):
        assert torch.allclose(first[name].units, second[name].units)


def test_batches_and_shards_do_not_matter() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).to(torch.float64)
    whole = batch((5,), 9)
    parts = [Batch(whole.x[at], whole.y[at], at) for at in torch.arange(9).split(4)]
    assert torch.allclose(relevance(net, [whole], ["0"])["0"].units, relevance(net, parts, ["0"])["0"].units)


def test_the_network_is_left_alone() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4, 3)).to(torch.float64)
    before = copy.deepcopy(net.state_dict())
    relevance(net, [batch((5,))], ["0"])
    assert net.training
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_an_operation_without_rule_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(self.fc(x), 1)

    with pytest.raises(InputError, match="no rule for the operation 'cumsum'"):
        relevance(Odd().to(torch.float64), [batch((4,))], ["fc"])


class Product(nn.Module):
    """Two linear layers whose results are multiplied in some way."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.v, self.g, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.product(self.v(x), self.g(x)))
        return out


def split(product: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """Relevance that reaches v and g, as shares of what began."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        net = bias_free(Product(product))
    for parameter in net.parameters():
        parameter.data.abs_()
    return reached(net, "v"), reached(net, "g")


def reached(net: nn.Module, layer: str) -> float:
    try:
        result = relevance(net, [batch((4,))], [layer])[layer]
    except InputError:
        return 0.0
    return float(result.units.sum()) / result.start


@pytest.mark.parametrize(
    "product",
    [
        lambda v, g: v * g.sigmoid(),
        lambda v, g: g.sigmoid() * v,
        lambda v, g: v.mul_(torch.softmax(g, 1)),
        lambda v, g: nn.functional.hardsigmoid(g).view(-1, 6).expand_as(v) * v,
        lambda v, g: (1 - g.sigmoid()) * v,
        lambda v, g: (2 * g.sigmoid() + 1).clone() * v,
        lambda v, g: v * (g.softmax(1) * g.sigmoid()),
    ],
)
def test_a_signal_receives_all_and_its_gate_nothing(product: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert split(product) == pytest.approx((1.0, 0.0), abs=1e-6)


@pytest.mark.parametrize(
    "product",
    [
        lambda v, g: v * nn.functional.silu(g),
        lambda v, g: nn.functional.silu(g) * v,
        lambda v, g: v * g,
        lambda v, g: g.sigmoid() * v.sigmoid(),
        lambda v, g: (g + g.sigmoid()) * v,
    ],
)
def test_other_factors_of_one_size_receive_half_each(product: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert split(product) == pytest.approx((0.5, 0.5), abs=1e-6)


def test_a_value_times_itself_or_its_own_gate_receives_all() -> None:
    for product in (lambda v, _: v * v, lambda v, _: v * v.sigmoid()):
        assert split(product) == pytest.approx((1.0, 0.0), abs=1e-6)


def test_a_divisor_receives_nothing() -> None:
    assert split(lambda v, g: v / (g + 1)) == pytest.approx((1.0, 0.0), abs=1e-6)


class Difference(nn.Module):
    """``b - a`` of two layers, written in one way or another."""

    def __init__(self, written: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.head = (nn.Linear(3, 3, bias=False) for _ in range(3))
        self.written = written

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.written(self.a(x), self.b(x)))


@pytest.mark.parametrize("written", [torch.rsub, lambda a, b: torch.Tensor.__rsub__(a, b)], ids=["rsub", "operator"])
def test_a_difference_is_the_same_whichever_side_is_written_first(written: Callable[[Tensor, Tensor], Tensor]) -> None:
    given = [batch((3,))]
    plain = relevance(Difference(lambda a, b: b - a).double(), given, ["a", "b"])
    other = relevance(Difference(written).double(), given, ["a", "b"])
    for layer in ("a", "b"):
        torch.testing.assert_close(other[layer].units, plain[layer].units)


def test_padding_is_not_seen() -> None:
    ds = data.from_arrays(np.random.default_rng(0).normal(3, 1, (6, 2, 16)).astype(np.float32), np.arange(6) % 3)
    net = nets.build("series-cnn", ds, seed=0).eval()
    x, y = torch.from_numpy(np.asarray(ds.x)), torch.arange(6) % 3
    mask = torch.arange(16).expand(6, 16) < 9
    masked = Batch(torch.where(mask[:, None], x, 0), y, torch.arange(6), mask)
    layer = next(name for name, one in net.named_modules() if isinstance(one, nn.Conv1d))
    found = relevance(net, [masked], [layer])[layer]
    with torch.no_grad():
        logits = call(net, masked)
        unmasked = net(masked.x)
    assert found.start == pytest.approx(float(logits.gather(1, y[:, None]).mean()), rel=1e-5)
    assert found.start != pytest.approx(float(unmasked.gather(1, y[:, None]).mean()), rel=1e-3)


def test_whole_numbers_are_refused() -> None:
    net = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3))
    words = Batch(torch.ones(2, 3, dtype=torch.int64), torch.tensor([0, 1]), torch.arange(2))
    with pytest.raises(InputError, match="samples are torch.int64"):
        relevance(net, [words], ["2"])


def test_labels_are_needed() -> None:
    net = nn.Sequential(nn.Linear(5, 3)).to(torch.float64)
    with pytest.raises(InputError, match="label"):
        relevance(net, [batch((5,))._replace(y=None)], ["0"])
    with pytest.raises(InputError, match="label"):
        relevance(net, [batch((5,))._replace(y=torch.full((6,), -1))], ["0"])
