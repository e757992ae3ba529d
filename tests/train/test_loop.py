"""What happens between steps, where test_fit does not look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure import data, nets, train
from nervure.data import Dataset
from nervure.errors import InputError, InterruptedWork
from nervure.objectives.supervised import CrossEntropy
from nervure.train import Callback, Loop, Progress, Recipe
from nervure.train.recipe import learning_rate


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(200))


@pytest.fixture
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=[8])


def test_hooks_come_in_order(net: nn.Module, ds: Dataset) -> None:
    told: list[str] = []

    class Told(Callback):
        def start(self, loop: Loop) -> None:
            told.append("start")

        def after_backward(self, loop: Loop, batch: object) -> None:
            told.append("backward")
            assert all(parameter.grad is not None for parameter in loop.net.parameters())

        def after_step(self, loop: Loop, batch: object) -> None:
            told.append("step")

        def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
            told.append("epoch")
            row["own"] = float(loop.epoch)

        def finish(self, loop: Loop) -> None:
            told.append("finish")

    run = train.fit(net, ds, Recipe(epochs=2, batch=100), device="cpu", callbacks=[Told()])
    steps = -(-len(ds.splits["train"]) // 100)
    assert told == ["start", *((["backward", "step"] * steps + ["epoch"]) * 2), "finish"]
    assert [row["own"] for row in run.history] == [1.0, 2.0]


def test_progress_tells_each_step_and_each_row(net: nn.Module, ds: Dataset) -> None:
    told: list[Progress] = []
    run = train.fit(net, ds, Recipe(epochs=2, batch=50), device="cpu", progress=told.append)
    steps = -(-len(ds.splits["train"]) // 50)
    assert [(one.epoch, one.step) for one in told if one.row is None] == [
        (e, s) for e in range(2) for s in range(1, steps + 1)
    ]
    assert [one.row for one in told if one.row is not None] == run.history
    assert {(one.epochs, one.steps) for one in told} == {(2, steps)}


def test_rows_are_means_over_samples(net: nn.Module, ds: Dataset) -> None:
    """With a last batch that is smaller than the others, and weights that do not move."""
    recipe = Recipe(epochs=1, batch=64, lr=1e-30, keep="last")
    run = train.fit(net, ds, recipe, device="cpu")
    for split in ("train", "validation"):
        batch = ds.batch(ds.splits[split])
        with torch.no_grad():
            loss, logs = CrossEntropy()(net.eval(), batch)
        assert run.history[0][f"{split}_loss"] == pytest.approx(float(loss), rel=1e-6)
        assert run.history[0][f"{split}_accuracy"] == pytest.approx(float(logs["accuracy"]), rel=1e-6)


def test_the_rate_follows_the_schedule(net: nn.Module, ds: Dataset) -> None:
    seen: list[float] = []

    class Rate(Callback):
        def after_step(self, loop: Loop, batch: object) -> None:
            seen.append(loop.optimizer.param_groups[0]["lr"])

    recipe = Recipe(epochs=3, batch=50, schedule="cosine", warmup=1.0)
    train.fit(net, ds, recipe, device="cpu", callbacks=[Rate()])
    steps = -(-len(ds.splits["train"]) // 50)
    assert seen == pytest.approx([learning_rate(recipe, step, steps) for step in range(3 * steps)])


def test_clipping(net: nn.Module, ds: Dataset) -> None:
    norms: list[float] = []

    class Norm(Callback):
        def after_backward(self, loop: Loop, batch: object) -> None:
            norms.append(float(torch.stack([p.grad.norm() for p in loop.net.parameters()]).norm()))  # type: ignore[union-attr]

    moved = {}
    for clip in (None, 1e-6):
        recipe = Recipe(epochs=1, optimizer="sgd", lr=1.0, momentum=0.0, clip=clip)
        run = train.fit(net, ds, recipe, device="cpu", callbacks=[Norm()])
        pairs = zip(run.net.parameters(), net.parameters(), strict=True)
        moved[clip] = max(float((one - two).detach().abs().max()) for one, two in pairs)
    assert min(norms) > 1e-3  # callbacks see gradients before they are clipped
    assert moved[1e-6] < 1e-5 < moved[None]


def test_a_monitor_that_is_not_measured(net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown monitor 'acuracy'; did you mean 'accuracy'"):
        train.fit(net, ds, Recipe(epochs=2, monitor="acuracy"), out=tmp_path / "r", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_an_objective_of_ones_own(net: nn.Module, ds: Dataset) -> None:
    def smallest(net: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        return sum(p.square().sum() for p in net.parameters()), {"one": torch.ones(())}  # type: ignore[return-value]

    run = train.fit(net, ds, Recipe(epochs=2, optimizer="sgd", lr=0.05), device="cpu", objective=smallest)
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert run.history[0]["validation_one"] == 1.0


class TestCopies:
    @staticmethod
    def apart(net: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """How far outputs for samples and for their copies are apart; without copies it cannot be computed."""
        return (net(batch.x) - net(batch.copy)).square().mean(), {"moved": (batch.x - batch.copy).abs().mean()}

    def test_an_objective_sees_them_in_training_and_validation(self, net: nn.Module, ds: Dataset) -> None:
        recipe = Recipe(epochs=2, batch=50, copies={"shift": 0.2, "rotate": 20}, lr=1e-30, keep="last")
        run = train.fit(net, ds, recipe, device="cpu", objective=self.apart)
        first, second = run.history
        assert first["train_moved"] > 0.1
        assert first["validation_moved"] > 0.1
        assert first["train_moved"] != second["train_moved"]  # a fresh draw each epoch,
        assert first["validation_moved"] == second["validation_moved"]  # but the same one to judge by

    def test_resume_to_the_byte(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        recipe = Recipe(epochs=3, batch=32, copies={"shift": 0.2}, drop_last=True)
        whole = train.fit(net, ds, recipe, device="cpu", objective=self.apart)
        asked = iter([False] * 6 + [True] * 99)
        with pytest.raises(InterruptedWork):
            train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=self.apart, stop=lambda: next(asked))
        again = train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=self.apart, resume=True)
        for one, two in zip(whole.net.parameters(), again.net.parameters(), strict=True):
            assert torch.equal(one, two)

    def test_bad_options_are_refused(self, net: nn.Module, ds: Dataset) -> None:
        with pytest.raises(InputError, match="unknown augmentation 'shfit'"):
            train.fit(net, ds, Recipe(copies={"shfit": 1}), device="cpu")


def test_drop_last_drops_steps_and_rows_stay_means(net: nn.Module, ds: Dataset) -> None:
    n = len(ds.splits["train"])
    assert n % 64
    recipe = Recipe(epochs=1, batch=64, lr=1e-30, keep="last", drop_last=True)
    seen: list[int] = []
    losses: list[float] = []

    class Sizes(Callback):
        def after_step(self, loop: Loop, batch: Any) -> None:
            seen.append(len(batch.x))
            losses.append(float(CrossEntropy()(loop.net, batch)[0].detach()))

    run = train.fit(net, ds, recipe, device="cpu", callbacks=[Sizes()])
    assert seen == [64] * (n // 64)
    assert run.history[0]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_batch_norm_is_spared_a_single_sample(ds: Dataset) -> None:
    n = len(ds.splits["train"])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    left = [train.fit(net, ds, Recipe(epochs=2, batch=n - 1, drop_last=drop), device="cpu") for drop in (False, True)]
    one, other = (run.net.state_dict() for run in left)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    with pytest.raises(InputError, match="one sample, which batch norm cannot learn from"):
        train.fit(net, ds, Recipe(epochs=1, batch=1), device="cpu")
