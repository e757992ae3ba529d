"""What happens between steps, where test_fit does not look."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from killing import Killed
from nervure import data, nets, train
from nervure.data import Dataset
from nervure.errors import DivergedError, InputError, InterruptedWork
from nervure.objectives.supervised import CrossEntropy
from nervure.store.tree import load_tree, save_tree
from nervure.train import Callback, Loop, Progress, Recipe
from nervure.train.checkpoint import file_of
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


class TestScaledGradients:
    """Half precision, whose losses are scaled before the backward pass; Fabric allows it on CUDA alone."""

    @pytest.fixture
    def scaled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fabric(device: str, precision: str) -> Fabric:
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
            made = Fabric(accelerator=device, devices=1, plugins=[MixedPrecision("16-mixed", device, scaler)])
            made.launch()
            return made

        monkeypatch.setattr(sys.modules["nervure.train.fit"], "open_fabric", fabric)

    @staticmethod
    def scale(loop: Loop) -> float:
        return float(loop.fabric.strategy.precision.state_dict()["scale"])

    @pytest.mark.parametrize("clip", [None, 0.01])
    def test_callbacks_and_clipping_see_them_as_they_are(
        self, net: nn.Module, ds: Dataset, request: pytest.FixtureRequest, clip: float | None
    ) -> None:
        norms: list[list[float]] = []
        moved: list[float] = []

        class Norm(Callback):
            def after_backward(self, loop: Loop, batch: object) -> None:
                norms[-1].append(float(torch.stack([p.grad.norm() for p in loop.net.parameters()]).norm()))  # type: ignore[union-attr]

        for fixture in ((), ("scaled",)):
            for name in fixture:
                request.getfixturevalue(name)
            norms.append([])
            recipe = Recipe(epochs=1, batch=100, optimizer="sgd", lr=0.1, momentum=0.0, clip=clip, keep="last")
            run = train.fit(net, ds, recipe, device="cpu", callbacks=[Norm()])
            pairs = zip(run.net.parameters(), net.parameters(), strict=True)
            moved.append(float(torch.stack([(one - two).detach().norm() for one, two in pairs]).norm()))
        assert norms[0] == pytest.approx(norms[1], rel=0.02)
        assert moved[0] == pytest.approx(moved[1], rel=0.02)

    @pytest.mark.usefixtures("scaled")
    def test_resume_goes_on_with_the_scale(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        scales: list[float] = []

        class Scale(Callback):
            def finish(self, loop: Loop) -> None:
                scales.append(TestScaledGradients.scale(loop))

        recipe = Recipe(epochs=3, batch=32)
        whole = train.fit(net, ds, recipe, device="cpu", callbacks=[Scale()])
        asked = iter([False] * 6 + [True] * 99)
        with pytest.raises(InterruptedWork):
            train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", stop=lambda: next(asked), callbacks=[Scale()])
        again = train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", resume=True, callbacks=[Scale()])
        assert scales[0] == scales[1] > 1024
        for one, two in zip(whole.net.parameters(), again.net.parameters(), strict=True):
            assert torch.equal(one, two)

    @pytest.mark.usefixtures("scaled")
    def test_a_checkpoint_without_a_scale_loads(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        asked = iter([False] * 3 + [True])
        with pytest.raises(InterruptedWork):
            train.fit(net, ds, Recipe(batch=32), out=tmp_path / "r", device="cpu", stop=lambda: next(asked))
        file = file_of(tmp_path / "r")
        held = load_tree(file)
        del held["precision"]
        save_tree(file, held)
        run = train.fit(net, ds, Recipe(batch=32), out=tmp_path / "r", device="cpu", resume=True)
        assert len(run.history) == Recipe().epochs


def test_a_monitor_that_is_not_measured(net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown monitor 'acuracy'; did you mean 'accuracy'"):
        train.fit(net, ds, Recipe(epochs=2, monitor="acuracy"), out=tmp_path / "r", device="cpu")
    assert list(tmp_path.iterdir()) == []
    alone = dataclasses.replace(ds, splits={"train": ds.splits["train"]})
    with pytest.raises(InputError, match="unknown monitor 'acuracy'; did you mean 'accuracy'"):
        train.fit(net, alone, Recipe(epochs=2, monitor="acuracy"), device="cpu")
    assert len(train.fit(net, alone, Recipe(epochs=1, monitor="accuracy"), device="cpu").history) == 1


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


class TestBatchNormOfOneSample:
    """A picture has many values a channel."""

    @staticmethod
    def sizes(net: nn.Module, ds: Dataset, batch: int) -> list[int]:
        seen: list[int] = []

        class Sizes(Callback):
            def after_step(self, loop: Loop, batch: Any) -> None:
                seen.append(len(batch.x))

        train.fit(net, ds, Recipe(epochs=1, batch=batch), device="cpu", callbacks=[Sizes()])
        return seen

    def test_pictures_can_be_learnt_from_one_by_one(self, ds: Dataset) -> None:
        some = ds.subset(np.arange(20))
        n = len(some.splits["train"])
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
        )
        assert self.sizes(net, some, 1) == [1] * n
        assert self.sizes(net, some, n - 1) == [n - 1, 1]

    @pytest.mark.parametrize(
        "net",
        [
            nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 10)),
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10), nn.BatchNorm1d(10)),
        ],
    )
    def test_not_where_one_norm_sees_one_value(self, net: nn.Module, ds: Dataset) -> None:
        n = len(ds.splits["train"])
        assert self.sizes(net, ds, n - 1) == [n - 1]
        with pytest.raises(InputError, match="one sample, which batch norm cannot learn from"):
            self.sizes(net, ds, 1)

    def test_not_where_a_norm_is_used_by_the_objective_alone(self, ds: Dataset) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        net[1].register_module("beside", nn.BatchNorm2d(1))
        n = len(ds.splits["train"])
        assert self.sizes(net, ds, n - 1) == [n - 1]


def test_an_epoch_without_a_score_is_never_the_best(
    net: nn.Module, ds: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = Loop._validate

    def broken(loop: Loop, held_out: data.Loader) -> dict[str, float]:
        found = validate(loop, held_out)
        return found if loop.epoch else {**found, "accuracy": float("nan")}

    monkeypatch.setattr(Loop, "_validate", broken)
    kept: list[int] = []

    class Told(Callback):
        def finish(self, loop: Loop) -> None:
            assert loop.best is not None
            kept.append(loop.best.epoch)

    train.fit(net, ds, Recipe(epochs=2, batch=100, monitor="accuracy"), device="cpu", callbacks=[Told()])
    assert kept == [2]


def test_of_equal_epochs_the_first_is_the_best(net: nn.Module, ds: Dataset) -> None:
    kept: list[int] = []

    class Told(Callback):
        def finish(self, loop: Loop) -> None:
            assert loop.best is not None
            kept.append(loop.best.epoch)

    run = train.fit(net, ds, Recipe(epochs=2, batch=100, lr=1e-30), device="cpu", callbacks=[Told()])
    assert run.history[0]["validation_loss"] == run.history[1]["validation_loss"]
    assert kept == [1]


def test_a_negative_loss_may_rise(net: nn.Module, ds: Dataset) -> None:
    losses = itertools.count(-5.0)

    def objective(net: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        return 0 * net(batch.x).sum() + next(losses), {}

    run = train.fit(net, ds, Recipe(epochs=1, batch=50), device="cpu", objective=objective)
    assert -5 < run.history[0]["train_loss"] < -3


def test_a_resumed_training_knows_the_first_loss(net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
    def times(factor: float) -> Any:
        return lambda net, batch: (nn.functional.cross_entropy(net(batch.x), batch.y) * factor, {})

    asked = iter([False, True])
    recipe = Recipe(epochs=1, batch=50)
    with pytest.raises(InterruptedWork):
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=times(1), stop=lambda: next(asked))
    with pytest.raises(DivergedError, match="epoch 1, step 3: the loss rose to"):
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=times(1e5), resume=True)


def test_a_resumed_training_has_still_seen_enough(net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
    class Enough(Callback):
        def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
            loop.enough = loop.epoch == 1

    def kill(where: Progress) -> None:
        if where.row is not None:
            raise Killed

    recipe = Recipe(epochs=3, batch=100)
    with pytest.raises(Killed):
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", callbacks=[Enough()], progress=kill)
    run = train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", callbacks=[Enough()], resume=True)
    assert len(run.history) == 1


def test_an_objective_that_draws_is_validated_alike_each_time(net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
    def drawing(net: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        return nn.functional.cross_entropy(net(batch.x), batch.y), {"drawn": torch.rand(())}

    class Slower(Callback):
        def after_backward(self, loop: Loop, batch: object) -> None:
            for group in loop.optimizer.param_groups:
                group["lr"] /= 2

    recipe = Recipe(epochs=2, batch=50, schedule="cosine")
    how: dict[str, Any] = {"device": "cpu", "objective": drawing, "callbacks": [Slower()]}
    whole = train.fit(net, ds, recipe, **how)
    asked = iter([False, False, True])  # after the epoch's last step: what is resumed begins with validation
    with pytest.raises(InterruptedWork, match="after step 3 of 3"):
        train.fit(net, ds, recipe, out=tmp_path / "r", stop=lambda: next(asked), **how)
    again = train.fit(net, ds, recipe, out=tmp_path / "r", resume=True, **how)
    drawn = [row["validation_drawn"] for run in (whole, again) for row in run.history]
    assert drawn == [drawn[0]] * 4
    for one, other in zip(whole.history, again.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_request_to_stop_is_heard_while_validating(net: nn.Module, tmp_path: Path) -> None:
    ds = data.load("digits", validation=0.5)
    assert len(ds.splits["validation"]) > 2 * 256
    validating = 0

    def objective(net: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        nonlocal validating
        validating += not torch.is_grad_enabled()
        return nn.functional.cross_entropy(net(batch.x), batch.y), {}

    recipe = Recipe(epochs=2)
    whole = train.fit(net, ds, recipe, device="cpu", objective=objective)
    validating = 0
    with pytest.raises(InterruptedWork, match="stopped in epoch 1, after step .*--resume"):
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=objective, stop=lambda: validating == 1)
    assert validating == 1
    again = train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=objective, resume=True)
    for one, other in zip(whole.history, again.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
