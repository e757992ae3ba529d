from __future__ import annotations

import copy
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nervure import data, nets, prune, store
from nervure.errors import InputError
from nervure.judge import Criterion
from nervure.nets.structure.layers import examine

Zoo = Callable[[str], tuple[nn.Module, tuple[int, ...]]]
Half = prune.Target(keep=0.5)


def flat(value: object) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)  # type: ignore[attr-defined]


def same(one: object, two: object) -> bool:
    pairs = zip(flat(one), flat(two), strict=True)
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.detach().abs().max())) for a, b in pairs)


UNCUT = {"tied", "tied functional", "functional", "normalised weight"}


def test_every_strange_network_is_cut_right_or_refused(zoo: Zoo, norm: Criterion, strange: str) -> None:
    """Cut equals masked, the prediction equals the count, training goes on, and the given network is unchanged."""
    net, shape = zoo(strange)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = torch.randn(5, *shape)
    if strange in UNCUT:
        with pytest.raises(InputError, match="no layer whose units could be cut"):
            prune.plan(net, None, norm, Half, example=x)
        return
    plan = prune.plan(net, None, norm, Half, example=x)
    small = plan.apply(net, x).eval()
    assert plan.applied is None
    assert plan.kept
    with torch.no_grad():
        assert same(small(x), plan.masked(net, x).eval()(x))
        assert [one.shape for one in flat(small(x))] == [one.shape for one in flat(net(x))]
    cost = nets.count(small, shape)
    assert (cost.params, cost.macs) == (plan.params_after, plan.macs_after)
    assert cost.params < plan.params_before == nets.count(net, shape).params
    sum(one.square().mean() for one in flat(small.train()(x))).backward()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


# What the dependency graph alone gets wrong without a word, or cannot cut: whole, and named with the reason.
@pytest.mark.parametrize(
    ("name", "whole", "why"),
    [
        ("onto input", "a", "network's input"),
        ("hard view", "a", "invalid for input of size"),
        ("chunk then join", "a", "cannot be followed"),
        ("swapped", "a", "cannot be followed"),
        ("shuffled", "a", "another result"),
        ("hidden", "a", "another result"),
        ("several", "b", "network's output"),
        ("attention", "blocks.0.qkv", "invalid for input of size"),
        ("multiplied", "0", "grouped layers"),
    ],
)
def test_what_must_stay_whole_is_named(zoo: Zoo, name: str, whole: str, why: str) -> None:
    net, shape = zoo(name)
    graph = examine(net, torch.randn(3, *shape))
    assert why in graph.group(whole).why


def test_a_module_called_twice_is_cut_as_one(zoo: Zoo, norm: Criterion) -> None:
    net, shape = zoo("called twice")
    x = torch.randn(3, *shape)
    small = prune.plan(net, None, norm, Half, example=x).apply(net, x)
    assert small.twice.weight.shape == (3, 3, 3, 3)


@pytest.mark.parametrize("order", ["conv-bn-relu", "conv-relu-bn"])
def test_both_block_orders(norm: Criterion, order: str) -> None:
    net = nets.build("vgg16", in_shape=(3, 16, 16), classes=5, width=0.125, order=order, dropout="all")
    with torch.no_grad():
        net(torch.randn(16, 3, 16, 16))
    net.eval()
    plan = prune.plan(net, None, norm, prune.Target(keep=0.6))
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert same(plan.apply(net).eval()(x), plan.masked(net)(x))


class Turncoat(nn.Module):
    """Behaves while it is examined, and breaks for the units that are really cut: wide enough for all but few."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 12), nn.Linear(12, 8), nn.Linear(8, 2)
        # No unit is ever silent, so that nothing done to one can pass unseen.
        nn.init.constant_(self.b.bias, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        if x.shape[1] < 6:
            raise RuntimeError("too narrow for my taste")
        x = self.b(x).relu()
        return self.head(x.roll(1, 1) if x.shape[1] < 4 else x)


def test_apply_keeps_an_offending_group_whole_and_says_so(norm: Criterion, caplog: pytest.LogCaptureFixture) -> None:
    net = Turncoat()
    plan = prune.plan(net, None, norm, prune.Target(keep=0.25), example=torch.randn(3, 4))
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="nothing can be cut as planned"):
        plan.apply(net)
    plan = prune.plan(net, None, norm, prune.Target(keep={"a": 0.25, "b": 0.5}), example=torch.randn(3, 4))
    small = plan.apply(net)
    assert "a stays whole: without some of its units the network fails: too narrow for my taste" in caplog.text
    assert small.a.out_features == 12
    assert small.b.out_features == 4
    kept = plan.applied
    assert kept is not None
    assert kept.kept == {"b": plan.kept["b"]}
    assert kept.params_after == sum(one.numel() for one in small.parameters())
    assert "too narrow" in next(row.why for row in kept.rows if row.layer == "a")
    assert same(kept.apply(net)(torch.ones(2, 4)), small(torch.ones(2, 4)))
    assert kept.applied is None


class Picky(nn.Module):
    """One layer in two parts, the second of which takes no cut once it is made in earnest."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.one, self.two = nn.Linear(4, 24), nn.Linear(12, 2), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).sigmoid()
        if self.two.in_features < 6:
            raise RuntimeError("too narrow for my taste")
        return self.one(x[:, : self.one.in_features]) + self.two(x[:, self.one.in_features :])


def test_only_the_part_that_must_stay_whole_does(norm: Criterion) -> None:
    net, x = Picky(), torch.randn(3, 4)
    plan = prune.plan(net, None, norm, prune.Target(keep=0.25), example=x)
    small = plan.apply(net)
    applied = plan.applied
    assert applied is not None
    rows = [(row.kept == before.kept, len(row.kept)) for row, before in zip(applied.rows, plan.rows, strict=True)]
    assert rows[:2] == [(True, 3), (False, 12)]
    assert applied.rows[0].why == plan.rows[0].why and "too narrow" in applied.rows[1].why
    assert small.a.out_features == 15 == len(applied.kept["a"])
    assert same(applied.apply(net)(x), small(x))


def test_a_network_that_gives_nan_is_named(norm: Criterion) -> None:
    net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    plan = prune.plan(net, None, norm, Half)
    broken = copy.deepcopy(net)
    with torch.no_grad():
        broken.classifier[2].bias[0] = float("nan")
    with pytest.raises(InputError, match="gives NaN or infinite values before anything is cut"):
        plan.apply(broken)


def test_another_structure_is_refused_and_other_weights_warn(norm: Criterion, caplog: pytest.LogCaptureFixture) -> None:
    net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    plan = prune.plan(net, None, norm, Half)
    with pytest.raises(InputError, match=r"another network: 'classifier.0.weight' has shape \(8, 4\) in it"):
        plan.apply(nets.build("mlp", in_shape=(4,), classes=2, widths=[9]))
    with pytest.raises(InputError, match=r"'classifier.4.weight' is not there in it"):
        plan.apply(nets.build("mlp", in_shape=(4,), classes=2, widths=[8, 2]))
    with caplog.at_level(logging.WARNING):
        plan.apply(net)
        assert not caplog.text
        plan.apply(nets.build("mlp", in_shape=(4,), classes=2, widths=[8], seed=1))
    assert "other weights" in caplog.text


def test_a_cut_network_is_rebuilt_in_a_fresh_process(norm: Criterion, tmp_path: Path) -> None:
    ds = data.load("digits")
    net = nets.build("resnet20", ds, width=0.5).eval()
    plan = prune.plan(net, ds, norm, prune.Target(macs=0.5))
    small = plan.apply(net).eval()
    origin = nets.origin_of(small)
    assert origin is not None
    assert [step.kind for step in origin.steps] == ["resize"]
    again = prune.plan(small, ds, norm, prune.Target(macs=0.5)).apply(small).eval()
    store.save(tmp_path / "run", again)
    x = torch.randn(2, 1, 8, 8)
    torch.save((x, again(x)), tmp_path / "seen.pt")
    script = (
        "import sys, torch; from nervure import store; net = store.load(sys.argv[1]).net;"
        "x, y = torch.load(sys.argv[2]); assert torch.equal(net(x), y);"
        "assert not any(name.startswith(('torch_pruning', 'nervure.prune')) for name in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run"), str(tmp_path / "seen.pt")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_stranger_without_origin_is_cut(zoo: Zoo, norm: Criterion) -> None:
    net, shape = zoo("plain")
    small = prune.plan(net, None, norm, Half, example=torch.randn(3, *shape)).apply(net)
    assert nets.origin_of(small) is None
    with pytest.raises(InputError, match="give example="):
        prune.plan(net, None, norm, Half)


class Words(nn.Module):
    """Reads whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(20, 16), nn.Linear(16, 12), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(self.words(x).mean(1)).relu())  # type: ignore[no-any-return]


class Two(nn.Module):
    """Reads two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 12), nn.Linear(5, 12), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.c(torch.cat([self.a(x), self.b(y)], 1).relu())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "example"),
    [(Words, [torch.arange(21).view(3, 7) % 20]), (Two, [torch.ones(3, 6), torch.ones(3, 5)])],
    ids=["whole numbers", "two tensors"],
)
def test_whatever_the_network_reads_a_plan_from_a_file_fits_it(
    kind: type[nn.Module], example: list[torch.Tensor], tmp_path: Path
) -> None:
    net = kind()
    made = prune.plan(net, None, "l1", prune.Target(latency_ms=1e4, batch=4), example=example)
    assert made.latency is not None and made.latency.batch == 4
    made = prune.plan(net, None, "l1", prune.Target(keep=0.5), example=example)
    read = prune.Plan.load(made.save(tmp_path / "plan.json"))
    assert sum(one.numel() for one in read.apply(net).parameters()) == made.params_after
    old = read.model_copy(update={"inputs": ()})
    with pytest.raises(InputError, match="give example="):
        old.apply(net)
    assert old.apply(net, example).state_dict().keys() == net.state_dict().keys()
