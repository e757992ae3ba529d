"""The whole way in one go, where nothing is exported and little is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nervure import data, store
from nervure.data import Dataset
from nervure.errors import InputError, InterruptedWork
from nervure.study import shape as room
from nervure.study.shape import default_recipe, shape
from nervure.train import Progress, Recipe


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(300))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Nothing is deployed: what would be is told instead."""
    told: list[object] = []
    monkeypatch.setattr(room, "deploy", lambda run, ds, out, formats, **options: told.append((Path(out), formats)))
    return told


@pytest.mark.parametrize(("n", "epochs"), [(64, 60), (64 * 25, 60), (64 * 100, 15), (64 * 5000, 5)])
def test_small_data_gets_more_passes(n: int, epochs: int) -> None:
    ds = data.from_arrays(np.zeros((n + 2, 2)), np.arange(n + 2) % 2, validation=0, test=0)
    recipe = default_recipe(ds.subset(np.arange(n)))
    assert (recipe.epochs, recipe.batch, recipe.schedule, recipe.monitor) == (epochs, 64, "cosine", "accuracy")


def test_what_is_given_wins_and_other_tasks_are_judged_by_their_loss(ds: Dataset) -> None:
    assert (
        default_recipe(ds, epochs=3, monitor="loss", lr=0.5).difference(
            Recipe(epochs=3, monitor="loss", lr=0.5, batch=64, schedule="cosine")
        )
        == []
    )
    assert default_recipe(data.load("digits", task="none")).monitor == "loss"


def test_a_network_is_chosen_trained_and_handed_on(ds: Dataset, tmp_path: Path, alone: list[object]) -> None:
    said: list[str] = []
    recipe = Recipe(epochs=1, batch=64)
    run = shape(
        ds, tmp_path / "r", recipe=recipe, macs=1.0, device="cpu", formats=("pt2",), command="typed", tell=said.append
    )
    assert run.origin is not None
    assert run.origin.base.spec == "lenet5"
    assert alone == [(tmp_path / "r" / "exports", ("pt2",))]
    assert "training lenet5" in said[0]
    assert store.load(tmp_path / "r").lineage[0].command == "typed"
    assert run.metrics["accuracy"] == store.load(tmp_path / "r").metrics["accuracy"]
    with pytest.raises(InputError, match="holds a run"):
        shape(ds, tmp_path / "r", recipe=recipe, macs=1.0)
    again = shape(ds, tmp_path / "r", recipe=recipe, macs=1.0, resume=True, device="cpu")
    assert again.metrics == run.metrics


def test_settings_of_the_repair_reach_it(ds: Dataset, tmp_path: Path, alone: list[object]) -> None:
    options: dict[str, object] = {"samples": 40, "ridge": 0.01, "recipe": {"epochs": 3, "lr": 0.01}}
    stages: list[Progress] = []
    recipe = Recipe(epochs=8, lr=3e-3)
    given = {"net": "mlp", "recipe": recipe, "macs": 0.5, "device": "cpu", "formats": ("pt2",)}
    run = shape(ds, tmp_path / "r", recover_options=options, progress=stages.append, **given)  # type: ignore[arg-type]
    assert {one.epochs for one in stages} == {8, 3}
    held = run.lineage[-1].settings["options"]
    assert isinstance(held, dict)
    assert (held["samples"], held["ridge"]) == (40, 0.01)
    if "fine-tune" in run.lineage[-1].settings["methods"]:  # type: ignore[operator]
        assert (held["recipe"]["lr"], held["recipe"]["batch"], held["distillation"]) == (0.01, recipe.batch, 0.5)
    with pytest.raises(InputError, match="did you mean 'ridge'"):
        shape(ds, tmp_path / "s", recover_options={"rigde": 1}, **given)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


def test_a_stop_while_tuning_keeps_the_base(ds: Dataset, tmp_path: Path, alone: list[object]) -> None:
    asked: list[Progress] = []
    with pytest.raises(InterruptedWork, match="stopped in epoch 1.*base is kept: go on with --resume"):
        shape(
            ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=2), device="cpu", formats=("pt2",),
            progress=asked.append, stop=lambda: asked[-1].epochs == 1,
        )  # fmt: skip
    assert store.is_run(tmp_path / "r" / "base")


def test_a_wrong_name_costs_no_run(ds: Dataset, tmp_path: Path, alone: list[object]) -> None:
    shape(ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=1), macs=1.0, device="cpu", formats=("pt2",))
    with pytest.raises(InputError, match="did you mean 'lenet5'"):
        shape(ds, tmp_path / "r", net="lenet6", recipe=Recipe(epochs=1), overwrite=True, device="cpu", formats=("pt2",))
    assert store.is_run(tmp_path / "r")
    assert len(alone) == 1
