"""The one loop: it leaves what it is given alone, resumes to the same bytes, and stops when numbers break."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from killing import KillAt, Killed
from nervure import data, nets, store, train
from nervure.data import Dataset
from nervure.data.dataset import Batch
from nervure.errors import DivergedError, InputError, InterruptedWork
from nervure.store.atomic import alone
from nervure.store.tree import load_tree
from nervure.train import Callback, Change, Kept, Loop, Recipe
from nervure.train.average import WeightAverage
from nervure.train.checkpoint import file_of
from nervure.train.loop import _LOOK


@pytest.fixture(scope="module")
def ds() -> Dataset:
    whole = data.load("digits")
    return whole.subset(np.arange(500))


@pytest.fixture
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=(24, 16))


def after(calls: int) -> Callable[[], bool]:
    """A request to stop, at the call of that number."""
    left = iter([False] * (calls - 1))
    return lambda: next(left, True)


def bytes_of(net: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in net.state_dict().values()]


def without_durations(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


class TestContract:
    def test_the_network_given_is_untouched(self, net: nn.Module, ds: Dataset) -> None:
        before, mode = bytes_of(net), net.training
        run = train.fit(net, ds, Recipe(epochs=1), device="cpu")
        assert bytes_of(net) == before
        assert net.training == mode
        assert run.net is not net
        assert not run.net.training

    def test_the_callers_generators_are_untouched(self, net: nn.Module, ds: Dataset) -> None:
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 (the global one)
        train.fit(net, ds, Recipe(epochs=1), device="cpu")
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
        assert random.getstate() == states[2]

    def test_history_metrics_and_lineage(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, Recipe(epochs=3, batch=16, lr=3e-3), device="cpu")
        assert [row["epoch"] for row in run.history] == [1, 2, 3]
        assert {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr"} <= set(run.history[0])
        assert run.metrics["accuracy"] > 0.5
        test, validation = (
            train.evaluate(run, ds, split=split, device="cpu").metrics for split in ("test", "validation")
        )
        assert run.metrics == test != validation
        assert {"confusion", "recall", "calibration", "cost"} <= set(run.evidence)
        assert [action.name for action in run.lineage] == ["train"]
        again = train.fit(run, ds, Recipe(epochs=1), device="cpu")
        assert [action.name for action in again.lineage] == ["train", "train"]

    def test_same_seed_same_bytes_other_seed_others(self, net: nn.Module, ds: Dataset) -> None:
        runs = [train.fit(net, ds, Recipe(epochs=1, seed=seed), device="cpu") for seed in (0, 0, 1)]
        assert bytes_of(runs[0].net) == bytes_of(runs[1].net)
        assert bytes_of(runs[0].net) != bytes_of(runs[2].net)

    def test_best_epoch_is_kept(self, net: nn.Module, ds: Dataset) -> None:
        recipe = Recipe(epochs=6, lr=0.05, optimizer="sgd", monitor="accuracy", keep="best")
        run = train.fit(net, ds, recipe, device="cpu")
        best = max(float(row["validation_accuracy"] or 0) for row in run.history)
        found = train.evaluate(run.net, ds, split="validation", device="cpu")
        assert found.metrics["accuracy"] == pytest.approx(best, abs=1e-6)

    def test_patience_stops(self, net: nn.Module, ds: Dataset) -> None:
        class Worse(Callback):
            def after_epoch(self, loop: Loop, row: Mapping[str, Any]) -> None:
                with torch.no_grad():
                    for parameter in loop.net.parameters():
                        parameter.mul_(-3)

        run = train.fit(net, ds, Recipe(epochs=9, lr=1e-9, patience=2), device="cpu", callbacks=[Worse()])
        assert len(run.history) == 3  # the first is best, then two epochs of patience

    def test_unknown_labels_are_left_out(self, net: nn.Module, ds: Dataset) -> None:
        y = ds.y.copy()
        y[ds.splits["train"][::2]] = -1
        run = train.fit(net, dataclasses.replace(ds, y=y), Recipe(epochs=1), device="cpu")
        assert np.isfinite(run.history[0]["train_loss"])
        y[:] = -1
        with pytest.raises(InputError, match="unknown"):
            train.fit(net, dataclasses.replace(ds, y=y), Recipe(epochs=1), device="cpu")

    @pytest.mark.parametrize("own", [False, True])
    def test_one_known_label_of_each_class_is_enough(self, net: nn.Module, ds: Dataset, own: bool) -> None:
        y = np.full_like(ds.y, -1)
        at = ds.splits["train"]
        first = at[np.unique(ds.y[at], return_index=True)[1]]
        y[first] = ds.y[first]
        few = dataclasses.replace(ds, y=y)

        def objective(net: nn.Module, batch: Any) -> Any:
            return nn.functional.cross_entropy(net(batch.x), batch.y.clamp(min=0)), {}

        run = train.fit(net, few, Recipe(epochs=1), device="cpu", objective=objective if own else None)
        assert run.metrics == train.evaluate(run, few, split="train", device="cpu").metrics

    def test_balanced_weights_raise_a_rare_class(self, ds: Dataset) -> None:
        rare = np.concatenate([np.flatnonzero(ds.y != 3), np.flatnonzero(ds.y == 3)[:8]])
        small = ds.subset(rare)
        net = nets.build("mlp", small, widths=(16,))
        recall = {}
        for weights in (None, "balanced"):
            run = train.fit(net, small, Recipe(epochs=3, class_weights=weights, keep="last"), device="cpu")
            found = train.evaluate(run.net, small, split="train", device="cpu")
            recall[weights] = found.evidence["recall"].values[0, 3]
        assert recall["balanced"] > recall[None]

    @pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
    def test_every_optimizer_learns(self, net: nn.Module, ds: Dataset, optimizer: str) -> None:
        lr = {"sgd": 0.05, "rmsprop": 3e-4}.get(optimizer, 3e-3)
        run = train.fit(net, ds, Recipe(epochs=4, batch=32, optimizer=optimizer, lr=lr, clip=5.0), device="cpu")
        assert run.history[-1]["train_loss"] < 0.7 * run.history[0]["train_loss"]


class TestAgainstABareLoop:
    def test_equals_plain_torch(self, net: nn.Module, ds: Dataset) -> None:
        """The same steps written by hand give the same weights."""
        import copy

        from nervure.data import permutation

        recipe = Recipe(epochs=2, batch=64, optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=1e-3, keep="last")
        run = train.fit(net, ds, recipe, device="cpu")
        plain = copy.deepcopy(net).train()
        optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
        at = ds.splits["train"]
        for epoch in range(2):
            order = at[permutation(len(at), recipe.seed, epoch)]
            for start in range(0, len(order), 64):
                batch = ds.batch(order[start : start + 64])
                optimizer.zero_grad()
                nn.functional.cross_entropy(plain(batch.x), batch.y).backward()
                optimizer.step()
        for name, value in run.net.state_dict().items():
            assert torch.allclose(value, plain.state_dict()[name], atol=1e-6), name


class Halver(Callback):
    """Cuts the first hidden layer in half after the first epoch."""

    def __init__(self) -> None:
        self.seen = 0

    def after_epoch(self, loop: Loop, row: Mapping[str, Any]) -> Change | None:
        import copy

        from nervure.nets import Step, derive
        from nervure.nets.resize import difference

        self.seen += 1
        if loop.epoch != 1:
            return None
        small = copy.deepcopy(loop.net)
        names = [name for name, module in small.named_modules() if isinstance(module, nn.Linear)][:2]
        first, second = (small.get_submodule(name) for name in names)
        half = torch.arange(first.out_features // 2)
        first.weight, first.bias = (
            nn.Parameter(first.weight[half].detach()),
            nn.Parameter(first.bias[half].detach()),
        )
        second.weight = nn.Parameter(second.weight[:, half].detach())
        first.out_features = second.in_features = len(half)
        kept = {name: Kept(name) for name, _ in loop.net.named_parameters()}
        kept[f"{names[0]}.weight"] = Kept(f"{names[0]}.weight", {0: half})
        kept[f"{names[0]}.bias"] = Kept(f"{names[0]}.bias", {0: half})
        kept[f"{names[1]}.weight"] = Kept(f"{names[1]}.weight", {1: half})
        return Change(derive(loop.net, small, Step("resize", difference(loop.net, small))), kept)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


class TestResume:
    """Killed and resumed training equals uninterrupted training, to the byte."""

    recipes: ClassVar[dict[str, Recipe]] = {
        "adam": Recipe(epochs=4, batch=64, schedule="cosine", patience=3),
        "momentum": Recipe(epochs=4, batch=64, optimizer="sgd", lr=0.05, weight_decay=1e-3, monitor="accuracy"),
        "average": Recipe(epochs=4, batch=64, callbacks=({"name": "weight-average"},), keep="last"),
        "steps": Recipe(epochs=3, batch=32, checkpoint_steps=3),
        "augmented": Recipe(epochs=3, batch=64, augment={"shift": 0.1, "rotate": 10}),
        "copies": Recipe(
            epochs=3, batch=64, copies={"shift": 0.1}, drop_last=True, callbacks=({"name": "weight-average"},)
        ),
    }

    @pytest.mark.parametrize("name", list(recipes))
    @pytest.mark.parametrize("kill", [1, 8, 14])
    def test_equals_uninterrupted(self, ds: Dataset, tmp_path: Path, name: str, kill: int) -> None:
        recipe = self.recipes[name]
        net = nets.build("mlp", ds, widths=(16,))
        net.add_module("dropout", nn.Identity())
        whole = train.fit(net, ds, recipe, out=tmp_path / "whole", device="cpu")
        with pytest.raises(Killed):
            train.fit(net, ds, recipe, out=tmp_path / "cut", device="cpu", callbacks=[KillAt(kill)])
        assert not store.is_run(tmp_path / "cut")
        resumed = train.fit(net, ds, recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[KillAt(-1)])
        model = "model.safetensors"
        assert (tmp_path / "whole" / model).read_bytes() == (tmp_path / "cut" / model).read_bytes()
        assert without_durations(whole.history) == without_durations(resumed.history)
        assert not (tmp_path / "cut" / "checkpoint").exists()

    def test_with_dropout_and_batch_norm(self, ds: Dataset, tmp_path: Path) -> None:
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(144, 10),
        )
        recipe = Recipe(epochs=3, batch=64)
        whole = train.fit(net, ds, recipe, device="cpu")
        with pytest.raises(Killed):
            train.fit(net, ds, recipe, out=tmp_path / "cut", device="cpu", callbacks=[KillAt(9)])
        resumed = train.fit(net, ds, recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[KillAt(-1)])
        assert bytes_of(whole.net) == bytes_of(resumed.net)

    @pytest.mark.parametrize("kill", [3, 10, 17])
    def test_with_a_network_that_changes_on_the_way(self, ds: Dataset, tmp_path: Path, kill: int) -> None:
        net = nets.build("mlp", ds, widths=(16, 12))
        recipe = Recipe(epochs=3, batch=64, optimizer="sgd", lr=0.05)
        whole = train.fit(net, ds, recipe, out=tmp_path / "whole", device="cpu", callbacks=[Halver()])
        with pytest.raises(Killed):
            train.fit(net, ds, recipe, out=tmp_path / "cut", device="cpu", callbacks=[Halver(), KillAt(kill)])
        train.fit(net, ds, recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[Halver(), KillAt(-1)])
        model = "model.safetensors"
        assert (tmp_path / "whole" / model).read_bytes() == (tmp_path / "cut" / model).read_bytes()
        assert [step.kind for step in store.load(tmp_path / "cut").origin.steps] == ["resize"]
        assert sum(p.numel() for p in whole.net.parameters()) < sum(p.numel() for p in net.parameters())

    def test_a_request_to_stop_keeps_a_checkpoint_at_that_step(
        self, net: nn.Module, ds: Dataset, tmp_path: Path
    ) -> None:
        asked = iter([False] * 8 + [True] * 99)
        with pytest.raises(InterruptedWork, match="--resume"):
            train.fit(
                net,
                ds,
                Recipe(epochs=3, batch=64),
                out=tmp_path / "r",
                device="cpu",
                stop=lambda: next(asked),
            )
        resumed = train.fit(net, ds, Recipe(epochs=3, batch=64), out=tmp_path / "r", resume=True, device="cpu")
        whole = train.fit(net, ds, Recipe(epochs=3, batch=64), device="cpu")
        assert bytes_of(whole.net) == bytes_of(resumed.net)
        assert without_durations(whole.history) == without_durations(resumed.history)

    def test_while_another_process_trains_there_is_refused(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        recipe = Recipe(epochs=1)
        with alone(tmp_path / "r"):
            for resume in (False, True):
                with pytest.raises(InputError, match="another process is writing"):
                    train.fit(net, ds, recipe, out=tmp_path / "r", resume=resume, device="cpu")
        assert not list((tmp_path / "r").iterdir())
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu")
        with alone(tmp_path / "r"):  # training has let go of it
            pass

    def test_of_a_finished_run_does_nothing(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        train.fit(net, ds, Recipe(epochs=1), out=tmp_path / "r", device="cpu")
        times = {file: file.stat().st_mtime_ns for file in (tmp_path / "r").rglob("*")}
        again = train.fit(net, ds, Recipe(epochs=1), out=tmp_path / "r", resume=True, device="cpu")
        assert {file: file.stat().st_mtime_ns for file in (tmp_path / "r").rglob("*")} == times
        assert len(again.history) == 1

    def test_of_something_else_is_refused(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        out = tmp_path / "r"
        with pytest.raises(Killed):
            train.fit(net, ds, Recipe(epochs=2, batch=64), out=out, device="cpu", callbacks=[KillAt(9)])
        with pytest.raises(InputError, match="give --resume"):
            train.fit(net, ds, Recipe(epochs=2, batch=64), out=out, device="cpu")
        with pytest.raises(InputError, match="lr: 0.001 is not 0.5"):
            train.fit(net, ds, Recipe(epochs=2, batch=64, lr=0.5), out=out, resume=True, device="cpu")
        with pytest.raises(InputError, match="other data"):
            train.fit(net, data.load("digits"), Recipe(epochs=2, batch=64), out=out, resume=True, device="cpu")
        other = nets.build("mlp", ds, widths=(8, 8))
        with pytest.raises(InputError, match="another network"):
            train.fit(other, ds, Recipe(epochs=2, batch=64), out=out, resume=True, device="cpu")
        train.fit(net, ds, Recipe(epochs=1), out=out, overwrite=True, device="cpu")
        with pytest.raises(InputError, match="epochs: 1 is not 2"):
            train.fit(net, ds, Recipe(epochs=2), out=out, resume=True, device="cpu")

    def test_of_data_that_is_scaled_otherwise_is_refused(self, tmp_path: Path) -> None:
        x, y = np.random.default_rng(0).normal(3, 2, (60, 4)), np.arange(60) % 2
        plain, scaled = data.from_arrays(x, y), data.from_arrays(x, y, standardize="unit")
        assert plain.fingerprint == scaled.fingerprint and plain.preprocessing != scaled.preprocessing
        net, recipe = nets.build("mlp", plain, widths=[4]), Recipe(epochs=3, batch=20)
        with pytest.raises(InterruptedWork):
            train.fit(net, plain, recipe, out=tmp_path / "r", device="cpu", stop=after(4))
        with pytest.raises(InputError, match="scaled otherwise"):
            train.fit(net, scaled, recipe, out=tmp_path / "r", device="cpu", resume=True)
        train.fit(net, plain, recipe, out=tmp_path / "r", device="cpu", resume=True)
        with pytest.raises(InputError, match="scaled otherwise"):
            train.fit(net, scaled, recipe, out=tmp_path / "r", device="cpu", resume=True)
        other = data.from_arrays(x, y, names=["cat", "dog"])
        with pytest.raises(InputError, match="trained on classes 0, 1; these are cat, dog"):
            train.fit(net, other, recipe, out=tmp_path / "r", device="cpu", resume=True)

    def test_with_other_callbacks_is_refused(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        recipe = Recipe(epochs=3, batch=64)
        with pytest.raises(InterruptedWork):
            train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", callbacks=[WeightAverage()], stop=after(3))
        with pytest.raises(InputError, match="started with the callbacks WeightAverage, and these are none"):
            train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", resume=True)

    def test_two_callbacks_of_a_type_resume_by_place(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        recipe, seen = Recipe(epochs=3, batch=64), []

        class Some(Callback):
            def __init__(self, state: dict[str, int]) -> None:
                self.state = state

            def state_dict(self) -> dict[str, int]:
                return self.state

            def load_state_dict(self, state: Mapping[str, int]) -> None:
                seen.append(dict(state))

        def given() -> list[Callback]:
            return [Some({}), Some({"steps": 3})]

        with pytest.raises(InterruptedWork):
            train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", callbacks=given(), stop=after(3))
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", callbacks=given(), resume=True)
        assert seen == [{}, {"steps": 3}]

    def test_an_output_for_all_samples_is_kept_unmeasured(self, ds: Dataset, tmp_path: Path) -> None:
        class Whole(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x.flatten(1)).square().mean()

        def loss(net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            return net(batch.x), {}

        net = Whole(int(np.prod(ds.in_shape)), 2)
        run = train.fit(net, ds, Recipe(epochs=1), out=tmp_path / "r", device="cpu", objective=loss)
        assert store.is_run(tmp_path / "r")
        assert "accuracy" not in run.metrics

    def test_a_damaged_checkpoint_is_refused(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        out = tmp_path / "r"
        with pytest.raises(Killed):
            train.fit(net, ds, Recipe(epochs=2, batch=64), out=out, device="cpu", callbacks=[KillAt(9)])
        file = out / "checkpoint" / "state.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(InputError, match="not a whole safetensors file"):
            train.fit(net, ds, Recipe(epochs=2, batch=64), out=out, resume=True, device="cpu")


class TestDivergence:
    def test_nan_names_the_layer_and_keeps_the_checkpoint(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        class Poison(Callback):
            def after_step(self, loop: Loop, batch: object) -> None:
                if loop.epoch == 1:
                    with torch.no_grad():
                        next(loop.net.parameters())[0, 0] = float("nan")

        first = next(name for name, _ in net.named_parameters())
        with pytest.raises(DivergedError, match=f"epoch 2, step 2: parameter '{first}'.*last good checkpoint"):
            train.fit(net, ds, Recipe(epochs=3, batch=64), out=tmp_path / "r", device="cpu", callbacks=[Poison()])
        resumed = train.fit(net, ds, Recipe(epochs=3, batch=64), out=tmp_path / "r", resume=True, device="cpu",
                            callbacks=[Callback()])  # fmt: skip
        assert len(resumed.history) == 3

    def test_a_loss_that_runs_away_stops(self, net: nn.Module, ds: Dataset) -> None:
        with pytest.raises(DivergedError, match="lower lr"):
            train.fit(net, ds, Recipe(epochs=9, optimizer="sgd", lr=1e4), device="cpu")


class Breaking:
    """A loss that is multiplied by something at one step, counted from 1; that step alone shows it."""

    def __init__(self, step: int, factor: float) -> None:
        self.left, self.factor = step, factor

    def __call__(self, net: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = nn.functional.cross_entropy(net(batch.x), batch.y)
        self.left -= torch.is_grad_enabled()
        return loss * self.factor if not self.left and torch.is_grad_enabled() else loss, {}


class TestDivergenceThatIsSeldomLookedAt:
    """As on CUDA, where reading the loss at each step would make the device wait."""

    @pytest.fixture(autouse=True)
    def _seldom(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(_LOOK, "cpu", 50)

    @pytest.mark.parametrize("keep", ["last", "best"])
    @pytest.mark.parametrize("checkpoint_steps", [2, 100])
    @pytest.mark.parametrize(("factor", "said"), [(float("nan"), "is not finite"), (1e9, "rose to")])
    def test_is_told_and_the_checkpoint_stays_good(
        self, net: nn.Module, ds: Dataset, tmp_path: Path, keep: Any, checkpoint_steps: int, factor: float, said: str
    ) -> None:
        recipe = Recipe(epochs=2, batch=64, keep=keep, checkpoint_steps=checkpoint_steps)
        assert -(-len(ds.splits["train"]) // 64) == 6
        with pytest.raises(DivergedError, match=f"epoch 2, step 4: the loss {said}.*last good checkpoint"):
            train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=Breaking(6 + 4, factor))
        held = load_tree(file_of(tmp_path / "r"))
        assert (held["epoch"], held["step"]) == ((1, 2) if checkpoint_steps == 2 else (1, 0))
        assert all(bool(value.isfinite().all()) for value in held["model"].values())

    def test_what_stood_there_stays(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        train.fit(net, ds, Recipe(epochs=1), out=tmp_path / "r", device="cpu")
        recipe = Recipe(epochs=1, batch=64, checkpoint_steps=2)
        with pytest.raises(DivergedError, match="epoch 1, step 2"):
            train.fit(
                net, ds, recipe, out=tmp_path / "r", device="cpu", overwrite=True, objective=Breaking(2, float("nan"))
            )
        assert store.is_run(tmp_path / "r")

    def test_a_request_to_stop_comes_second(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        steps = iter([False, False, True])
        with pytest.raises(DivergedError, match="epoch 1, step 2"):
            train.fit(
                net, ds, Recipe(batch=64), out=tmp_path / "r", device="cpu", objective=Breaking(2, float("nan")),
                stop=lambda: next(steps),
            )  # fmt: skip
        assert not file_of(tmp_path / "r").exists()


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_weights_that_the_last_step_broke(
    net: nn.Module, ds: Dataset, tmp_path: Path, keep: Any, clip: float | None
) -> None:
    """The step's loss is finite, and its gradient is not."""
    steps = 0

    def objective(net: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        nonlocal steps
        steps += torch.is_grad_enabled()
        out = net(batch.x)
        root = (out * 0).square().sum().sqrt()  # 0, with a gradient of 0 / 0
        loss = nn.functional.cross_entropy(out, batch.y)
        return loss + root if steps == 12 and torch.is_grad_enabled() else loss, {}

    first = next(name for name, _ in net.named_parameters())
    recipe = Recipe(epochs=2, batch=64, keep=keep, clip=clip)
    with pytest.raises(DivergedError, match=f"epoch 2, step 6: parameter '{first}' is not finite.*last good"):
        train.fit(net, ds, recipe, out=tmp_path / "r", device="cpu", objective=objective)
    assert load_tree(file_of(tmp_path / "r"))["epoch"] == 1


def test_statistics_that_the_last_step_broke(net: nn.Module, ds: Dataset) -> None:
    """Training goes by those of each batch, so that no loss shows it."""

    class Poison(Callback):
        def after_step(self, loop: Loop, batch: object) -> None:
            if loop.step == 5:
                loop.net.get_buffer("2.running_var")[0] = float("nan")

    normed = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    with pytest.raises(DivergedError, match=r"epoch 1, step 6: buffer '2.running_var' is not finite"):
        train.fit(normed, ds, Recipe(epochs=2, batch=64), device="cpu", callbacks=[Poison()])


def test_a_buffer_may_hold_infinity_on_purpose(net: nn.Module, ds: Dataset) -> None:
    net.register_buffer("ruled_out", torch.full((2,), -float("inf")))
    assert len(train.fit(net, ds, Recipe(epochs=1), device="cpu").history) == 1


def test_a_validation_loss_that_is_no_number(net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
    def objective(net: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = nn.functional.cross_entropy(net(batch.x), batch.y)
        nonlocal passes
        passes += not torch.is_grad_enabled()
        return loss * float("nan") if passes == 2 else loss, {}

    passes = 0
    with pytest.raises(DivergedError, match=r"epoch 2, step 6: on validation the loss is not finite.*last good"):
        train.fit(net, ds, Recipe(epochs=2, batch=64), out=tmp_path / "r", device="cpu", objective=objective)
    assert load_tree(file_of(tmp_path / "r"))["epoch"] == 1


def test_what_reconstructs_is_measured_by_that_whatever_labels_there_are(ds: Dataset, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, objective="reconstruction")
    run = train.fit(nets.build("autoencoder", ds), ds, recipe, out=tmp_path / "r", device="cpu")
    assert run.metrics["mse"] > 0 and (run.task, run.names) == ("none", ())
    assert train.evaluate(store.load(tmp_path / "r"), ds, device="cpu").metrics == pytest.approx(run.metrics)
    assert train.fit(nets.build("autoencoder", ds), ds, recipe, out=tmp_path / "r", resume=True).metrics == run.metrics


def test_outputs_that_nothing_measures_are_kept_all_the_same(
    ds: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def spread(net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return -net(batch.x).var(), {}

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh())
    net.task = "imagenet"  # a word of its own
    run = train.fit(net, ds, Recipe(epochs=1), objective=spread, out=tmp_path / "r", device="cpu")
    assert run.task == "classification" and "accuracy" not in run.metrics and run.metrics["parameters"] == 195
    assert store.is_run(tmp_path / "r") and "only costs are measured" in caplog.text
    with pytest.raises(InputError, match="without labels it is measured by how it reconstructs"):
        train.evaluate(net, dataclasses.replace(ds, y=None, task="none", names=()), device="cpu")


class TestBadInput:
    def test_one_line_each(self, net: nn.Module, ds: Dataset) -> None:
        cases = [
            (dict(recipe=Recipe(objective="cross-entropi")), "did you mean 'cross-entropy'"),
            (dict(recipe=Recipe(objective_options={"label_smooth": 0.1})), "label_smooth"),
            (dict(recipe=Recipe(callbacks=({"name": "weight-averag"},))), "did you mean 'weight-average'"),
            (dict(recipe=Recipe(class_weights=(1.0, 2.0))), "2 factors for 10 classes"),
            (dict(recipe=Recipe(augment={"shfit": 1})), "shfit"),
            (dict(device="cudda"), "unknown device"),
        ]
        for given, message in cases:
            with pytest.raises(InputError, match=message) as error:
                train.fit(net, ds, given.pop("recipe", Recipe(epochs=1)), **{"device": "cpu", **given})
            assert "\n" not in str(error.value)

    @pytest.mark.parametrize("given", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}])
    def test_weights_and_smoothing_that_an_objective_does_not_know(
        self, net: nn.Module, ds: Dataset, given: dict[str, Any]
    ) -> None:
        name = next(iter(given))
        with pytest.raises(InputError, match=f"recipe: {name} is for objective 'cross-entropy', not 'mse'; leave it"):
            train.fit(net, ds, Recipe(objective="mse", **given), device="cpu")
        with pytest.raises(InputError, match=f"recipe: {name} is for .*, not one's own; leave it"):
            train.fit(net, ds, Recipe(**given), device="cpu", objective=Breaking(0, 1.0))
        targets = dataclasses.replace(ds, y=ds.y.astype(np.float32), task="regression", names=())
        with pytest.raises(InputError, match=f"recipe: {name} is for"):
            train.fit(nets.build("mlp", targets), targets, Recipe(**given), device="cpu")

    @pytest.mark.parametrize("none", [{}, {"validation": np.array([], dtype=np.int64)}])
    def test_patience_without_anything_to_be_patient_with(
        self, net: nn.Module, ds: Dataset, none: dict[str, Any]
    ) -> None:
        alone = dataclasses.replace(ds, splits={"train": ds.splits["train"], **none})
        with pytest.raises(InputError, match="patience .* has no validation split; give one, or leave patience"):
            train.fit(net, alone, Recipe(patience=2), device="cpu")

    def test_no_training_split(self, net: nn.Module, ds: Dataset) -> None:
        with pytest.raises(InputError, match="no training split"):
            train.fit(net, dataclasses.replace(ds, splits={}), device="cpu")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (lambda out: out.sum(), "must return two things"),
            (lambda out: (out.sum(1), {}), "must return two things"),
            (lambda out: (3.0, {}), "must return two things"),
            (lambda out: (out.sum(), None), "must return two things"),
            (lambda out: (out.sum().detach(), {}), "does not depend on any weight"),
        ],
    )
    def test_an_objective_that_gives_something_else(
        self, net: nn.Module, ds: Dataset, given: Any, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            train.fit(net, ds, Recipe(epochs=1), device="cpu", objective=lambda net, batch: given(net(batch.x)))


class TestCycles:
    def test_fit_change_fit_and_resume(self, ds: Dataset, tmp_path: Path) -> None:
        net = nets.build("mlp", ds, widths=(16,))
        seen: list[int] = []

        def rewind(run: store.Run, cycle: int) -> nn.Module:
            seen.append(cycle)
            with torch.no_grad():
                for parameter in run.net.parameters():
                    parameter.mul_(0.5)
            return run.net

        recipe = Recipe(epochs=2, batch=64)
        whole = train.cycles(net, ds, recipe, rewind, 3, out=tmp_path / "whole", device="cpu")
        assert [(row["cycle"], row["epoch"]) for row in whole.history] == [(c, e) for c in range(3) for e in (1, 2)]
        assert seen == [0, 1]
        calls = 0

        def stop() -> bool:
            nonlocal calls
            calls += 1
            return calls == 20

        with pytest.raises(InterruptedWork):
            train.cycles(net, ds, recipe, rewind, 3, out=tmp_path / "cut", device="cpu", stop=stop)
        again = train.cycles(net, ds, recipe, rewind, 3, out=tmp_path / "cut", resume=True, device="cpu")
        assert bytes_of(again.net) == bytes_of(whole.net)
        assert json.loads((tmp_path / "cut" / "run.json").read_text())["lineage"][1]["name"] == "change"

    def test_no_cycle_is_refused(self, net: nn.Module, ds: Dataset) -> None:
        with pytest.raises(InputError, match="give 1 or more"):
            train.cycles(net, ds, Recipe(), lambda run, cycle: run.net, 0)
