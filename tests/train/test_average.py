"""The running average against the same in numpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure import data, nets, train
from nervure.errors import InputError
from nervure.sparsify import Mask
from nervure.train.average import WeightAverage


def at_the_end(net: nn.Module) -> Any:
    """What a callback asks of a loop that has kept no best epoch."""
    return SimpleNamespace(net=net, best=None, recipe=train.Recipe())


def walk(average: WeightAverage, net: nn.Module, steps: int, seed: int = 0) -> list[np.ndarray]:
    """Set the weight to something new at each step and let the average see it."""
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        value = rng.normal(size=(2, 3)).astype(np.float32)
        with torch.no_grad():
            net.weight.copy_(torch.from_numpy(value))
        average.after_step(SimpleNamespace(net=net), None)  # type: ignore[arg-type]
        seen.append(value)
    return seen


def test_is_the_recursion() -> None:
    net, average = nn.Linear(3, 2), WeightAverage(decay=0.8)
    seen = walk(average, net, 40)
    expected = seen[0].astype(np.float64)
    for number, value in enumerate(seen[1:], start=2):
        decay = min(0.8, number / (number + 9))  # the start is forgotten
        expected = decay * expected + (1 - decay) * value
    average.finish(at_the_end(net))
    assert np.allclose(net.weight.detach().numpy(), expected, atol=1e-6)


def test_counters_are_copied_not_averaged() -> None:
    net, average = nn.BatchNorm1d(2), WeightAverage()
    for number in (1, 5, 9):
        net.num_batches_tracked.fill_(number)
        average.after_step(SimpleNamespace(net=net), None)  # type: ignore[arg-type]
    average.finish(at_the_end(net))
    assert int(net.num_batches_tracked) == 9


def test_a_buffer_that_holds_infinity_keeps_it() -> None:
    net, average = nn.Linear(2, 2), WeightAverage()
    net.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
    for _ in range(3):
        average.after_step(SimpleNamespace(net=net), None)  # type: ignore[arg-type]
    average.finish(at_the_end(net))
    assert torch.equal(net.mask, torch.full((2, 2), -torch.inf).triu(1))


def test_a_buffer_that_becomes_finite_is_handed_over_so() -> None:
    net, average = nn.Linear(2, 2), WeightAverage()
    net.register_buffer("least", torch.full((2,), torch.inf))
    for value in (torch.inf, torch.inf, 3.0, 3.0):
        net.least.fill_(value)
        average.after_step(SimpleNamespace(net=net), None)  # type: ignore[arg-type]
    average.finish(at_the_end(net))
    assert net.least.tolist() == [3.0, 3.0]


def test_a_network_of_another_shape_starts_anew() -> None:
    average = WeightAverage()
    walk(average, nn.Linear(3, 2), 5)
    small = nn.Linear(3, 1)
    average.after_step(SimpleNamespace(net=small), None)  # type: ignore[arg-type]
    before = small.weight.clone()
    average.finish(at_the_end(small))
    assert torch.equal(small.weight, before)


def test_a_network_replaced_after_the_last_step_keeps_its_weights(caplog: pytest.LogCaptureFixture) -> None:
    average, small = WeightAverage(), nn.Linear(3, 1)
    walk(average, nn.Linear(3, 2), 5)
    before = small.weight.clone()
    average.finish(at_the_end(small))
    assert torch.equal(small.weight, before)
    assert caplog.messages == ["weight-average: the network was replaced after the last step; it keeps its own weights"]


@pytest.mark.parametrize("order", [1, -1])
def test_beside_a_callback_that_replaces_the_network_at_the_end(order: int) -> None:
    ds = data.load("digits").subset(np.arange(200))
    small = nets.build("mlp", ds, widths=(4,))
    before = [one.detach().clone() for one in small.parameters()]

    class Replace(train.Callback):
        def after_epoch(self, loop: train.Loop, row: dict[str, float | int | str | None]) -> train.Change | None:
            return train.Change(small) if loop.epoch == 2 else None

    both = [WeightAverage(), Replace()][::order]
    recipe = train.Recipe(epochs=2, keep="last")
    run = train.fit(nets.build("mlp", ds, widths=(8,)), ds, recipe, device="cpu", callbacks=both)
    assert all(torch.equal(one, two) for one, two in zip(before, run.net.parameters(), strict=True))


def test_state_goes_where_the_weights_are() -> None:
    """Single numbers too, as what batch norm counts is one."""
    average, net = WeightAverage(), nn.BatchNorm1d(2)
    average.after_step(SimpleNamespace(net=net), None)  # type: ignore[arg-type]
    again = WeightAverage()
    again.start(SimpleNamespace(fabric=SimpleNamespace(device=torch.device("meta"))))  # type: ignore[arg-type]
    again.load_state_dict(average.state_dict())
    held = again.state_dict()["average"]
    assert held["num_batches_tracked"].ndim == 0
    assert {value.device.type for value in held.values()} == {"meta"}


def test_state_continues() -> None:
    whole, cut = WeightAverage(0.9), WeightAverage(0.9)
    net = nn.Linear(3, 2)
    walk(whole, net, 6)
    walk(cut, net, 6)
    again = WeightAverage(0.9)
    again.load_state_dict(cut.state_dict())
    walk(whole, net, 4, seed=1)
    walk(again, net, 4, seed=1)
    assert torch.equal(whole.state_dict()["average"]["weight"], again.state_dict()["average"]["weight"])


def test_nothing_seen_changes_nothing() -> None:
    net = nn.Linear(3, 2)
    before = net.weight.clone()
    WeightAverage().finish(at_the_end(net))
    assert torch.equal(net.weight, before)
    for decay in (-0.1, 1.0):
        with pytest.raises(InputError, match="give a value from 0 to below 1"):
            WeightAverage(decay)


def test_what_is_handed_over_is_the_average_also_where_the_best_epoch_is_kept() -> None:
    ds = data.load("digits").subset(np.arange(200))
    net = nets.build("mlp", ds, widths=(8,))
    weights = {}
    for keep in ("best", "last"):
        for callbacks in ((), ({"name": "weight-average", "options": {"decay": 0.9}},)):
            recipe = train.Recipe(epochs=3, batch=32, keep=keep, callbacks=callbacks)
            run = train.fit(net, ds, recipe, device="cpu")
            weights[keep, bool(callbacks)] = torch.cat([one.detach().flatten() for one in run.net.parameters()])
    assert torch.equal(weights["best", True], weights["last", True])
    assert not torch.equal(weights["best", True], weights["best", False])


@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("sparse", [
    {"name": "sparse-training", "options": {"criterion": "magnitude", "sparsity": 0.75}},
    {"name": "l1-penalty", "options": {"strength": 1e-3, "threshold": 1e-2}},
])  # fmt: skip
def test_edges_removed_while_training_stay_removed(order: int, sparse: dict[str, object], keep: Any) -> None:
    ds = data.load("digits").subset(np.arange(200))
    both = ({"name": "weight-average", "options": {"decay": 0.9}}, sparse)[::order]
    recipe = train.Recipe(epochs=3, batch=16, keep=keep, callbacks=both)
    run = train.fit(nets.build("mlp", ds, widths=(8,)), ds, recipe, device="cpu")
    assert Mask.of(run.net).sparsity >= run.evidence["edges"].rows[-1][-1] > 0  # type: ignore[attr-defined]
