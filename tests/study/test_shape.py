"""The whole way in one go, where nothing is exported and little is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nervure import data, evidence, prune, store
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
    with pytest.raises(InterruptedWork, match="stopped in epoch 1, .*/r keeps what was done: go on with --resume"):
        shape(
            ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=2), device="cpu", formats=("pt2",),
            progress=asked.append, stop=lambda: asked[-1].epochs == 1,
        )  # fmt: skip
    assert store.is_run(tmp_path / "r" / "base")


def test_a_stop_while_the_base_is_trained_names_the_folder_to_go_on_with(ds: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InterruptedWork, match="/r keeps what was done: go on with --resume"):
        shape(
            ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=2), device="cpu", formats=("pt2",), stop=lambda: True
        )  # fmt: skip


def test_a_finished_run_is_deployed_where_that_was_cut_short(
    ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    def deployed(run: store.Run, ds: Dataset, out: Path, formats: tuple[str, ...], **options: object) -> None:
        told.append(formats)
        out.mkdir(exist_ok=True)
        for name in formats:
            (out / f"model.{name}").touch()
        store.annotate(tmp_path / "r", {"latency": evidence.Table(title="t", alt="a", columns=("a",), rows=[("b",)])})

    told: list[object] = []
    given = {"net": "mlp", "recipe": Recipe(epochs=1), "macs": 1.0, "device": "cpu"}
    monkeypatch.setattr(room, "deploy", stopped)
    with pytest.raises(KeyboardInterrupt):
        shape(ds, tmp_path / "r", formats=("pt2",), **given)  # type: ignore[arg-type]
    monkeypatch.setattr(room, "deploy", deployed)
    again = shape(ds, tmp_path / "r", formats=("pt2",), resume=True, **given)  # type: ignore[arg-type]
    assert told == [("pt2",)]
    assert "latency" in again.evidence
    shape(ds, tmp_path / "r", formats=("pt2",), resume=True, **given)  # type: ignore[arg-type]
    assert len(told) == 1
    shape(ds, tmp_path / "r", formats=("pt2", "safetensors"), resume=True, **given)  # type: ignore[arg-type]
    assert told[1:] == [("pt2", "safetensors")]


def test_a_finished_run_of_another_request_is_refused(ds: Dataset, tmp_path: Path, alone: list[object]) -> None:
    given = {"net": "mlp", "recipe": Recipe(epochs=2), "macs": 0.5, "device": "cpu", "formats": ("pt2",)}
    mending = {"samples": 40, "recipe": {"epochs": 1}}
    shape(ds, tmp_path / "r", recover_options=mending, **given)  # type: ignore[arg-type]
    assert [action.name for action in store.load(tmp_path / "r").lineage] == ["train", "shape", "prune", "recover"]
    shape(ds, tmp_path / "r", resume=True, recover_options=mending, **given)  # type: ignore[arg-type]
    for changes, said in (
        ({"net": "lenet5"}, "r was started with another network: mlp, not lenet5"),
        ({"recipe": Recipe(epochs=3)}, "r was trained with another recipe: epochs"),
        ({"macs": 0.1}, "r was made with other settings: macs: 0.5 is not 0.1; give --overwrite"),
        ({"recover_options": {"samples": 41}}, "r was made with other settings: recover_options: "),
        ({"ds": ds.subset(np.arange(200))}, "r was made on other data"),
    ):
        with pytest.raises(InputError, match=said):
            shape(**{"ds": ds, "out": tmp_path / "r", "resume": True, "recover_options": mending, **given, **changes})  # type: ignore[arg-type]
    store.save(tmp_path / "s", store.load(tmp_path / "r" / "base"))
    with pytest.raises(InputError, match="s holds a run that was not shaped; give --overwrite"):
        shape(ds, tmp_path / "s", resume=True, recover_options=mending, **given)  # type: ignore[arg-type]


def test_all_the_work_is_done_on_the_device(
    ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: list[object]
) -> None:
    asked: list[object] = []

    def heard(real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **options: object) -> object:
            asked.append(options["device"])
            return real(*given, **options)

        return call

    monkeypatch.setattr(room.prune, "plan", heard(room.prune.plan))
    monkeypatch.setattr(room, "recover", heard(room.recover))
    recipe = Recipe(epochs=1)
    shape(ds, tmp_path / "r", net="mlp", recipe=recipe, device="cpu", formats=("pt2",))
    assert asked == ["cpu"] * 13  # three criteria and three random draws, each with its repair, and the last training


@pytest.mark.parametrize(
    ("criteria", "draws", "split", "said"),
    [
        ((0.9, 0.8, 0.7), (0.6, 0.5, 0.6), "validation", "l1 was taken, better than random selection: above the best"),
        ((0.9, 0.8, 0.7), (0.85, 0.6, 0.6), "validation", "l1 was taken, not told apart from random selection: not"),
        ((0.6, 0.8, 0.7), (0.9, 0.9, 0.9), "validation", "fpgm was taken, not told apart from random selection"),
        ((0.9, 0.8, 0.7), (0.6, 0.5, 0.6), "train", "on training samples, as there is no validation split; l1"),
    ],
)
def test_only_what_stands_out_from_random_draws_is_called_better(
    ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: list[object],
    criteria: tuple[float, ...], draws: tuple[float, ...], split: str, said: str,
) -> None:  # fmt: skip
    """Qualities are given: of each cut as it is and after recovery, then of the network that was trained on."""
    qualities = iter([*(each for one in (*criteria, *draws) for each in (0.1, one)), 1.0, 1.0])
    monkeypatch.setattr(room, "_quality", lambda net, ds, device: next(qualities))
    if split == "train":
        ds = dataclasses.replace(ds, splits={name: at for name, at in ds.splits.items() if name != "validation"})
    run = shape(ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=1), device="cpu", formats=("pt2",))
    tried = run.evidence["plan-tried"]
    assert isinstance(tried, evidence.Table)
    assert said in tried.title
    assert "best of 3 draws by more than they differ among themselves" in tried.title
    assert f"on the {split} split" in tried.alt
    assert [row[0] for row in tried.rows if row[-1] == "control"] == [f"random, draw {at}" for at in (1, 2, 3)]
    assert [row[3] for row in tried.rows[:6]] == [*criteria, *draws]


def test_random_draws_differ(ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: list[object]) -> None:
    plans: dict[str, list[prune.Plan]] = {}
    real = room.prune.plan

    def kept(*given: object, **options: object) -> prune.Plan:
        plans.setdefault(str(given[2]), []).append(real(*given, **options))  # type: ignore[arg-type]
        return plans[str(given[2])][-1]

    monkeypatch.setattr(room.prune, "plan", kept)
    shape(ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=1), device="cpu", formats=("pt2",))
    drawn = [str([row.kept for row in one.rows]) for one in plans["random"]]
    assert len(drawn) == len(set(drawn)) == 3


def test_a_wrong_name_costs_no_run(ds: Dataset, tmp_path: Path, alone: list[object]) -> None:
    shape(ds, tmp_path / "r", net="mlp", recipe=Recipe(epochs=1), macs=1.0, device="cpu", formats=("pt2",))
    with pytest.raises(InputError, match="did you mean 'lenet5'"):
        shape(ds, tmp_path / "r", net="lenet6", recipe=Recipe(epochs=1), overwrite=True, device="cpu", formats=("pt2",))
    assert store.is_run(tmp_path / "r")
    assert len(alone) == 1
