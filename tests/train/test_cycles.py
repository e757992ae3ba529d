"""Cycles hand on what they should; that they resume is seen in test_fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure import data, nets, store, train
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.train import Recipe

CPU: dict[str, Any] = {"device": "cpu"}


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(200))


def test_each_cycle_has_its_recipe_and_its_place_in_history_and_lineage(ds: Dataset, tmp_path: Path) -> None:
    asked: list[int] = []

    def recipe(cycle: int) -> Recipe:
        asked.append(cycle)
        return Recipe(epochs=cycle + 1, seed=cycle)

    def change(run: store.Run, cycle: int) -> nn.Module:
        assert len(run.history) == cycle + 1
        return run.net

    run = train.cycles(nets.build("mlp", ds, widths=[4]), ds, recipe, change, 2, out=tmp_path / "r", device="cpu")
    assert asked == [0, 1]
    assert [(row["cycle"], row["epoch"]) for row in run.history] == [(0, 1), (1, 1), (1, 2)]
    assert [(one.name, one.seed) for one in run.lineage] == [("train", 0), ("change", None), ("train", 1)]
    kept = store.load(tmp_path / "r")
    assert kept.history == run.history
    assert [one.name for one in kept.lineage] == ["train", "change", "train"]
    # the cycles stand beside the result, for resuming
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "r.cycles"]


def test_what_is_replaced_is_replaced_whole(ds: Dataset, tmp_path: Path) -> None:
    def run(width: int, **how: bool) -> store.Run:
        net = nets.build("mlp", ds, widths=[width])
        return train.cycles(net, ds, Recipe(epochs=1), lambda run, at: run.net, 2, out=tmp_path / "r", **CPU, **how)

    run(4)
    (tmp_path / "r" / "exports").mkdir()
    (tmp_path / "r" / "plan.json").touch()
    run(5, overwrite=True)
    assert sorted(one.name for one in (tmp_path / "r").iterdir()) == [
        "evidence", "history.jsonl", "model.safetensors", "run.json",
    ]  # fmt: skip


def test_of_several_processes_one_writes(ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")  # and alone, so that nothing waits for it
    net = nets.build("mlp", ds, widths=[4])
    train.cycles(net, ds, Recipe(epochs=1), lambda run, at: run.net, 2, out=tmp_path / "r", **CPU)
    assert not store.is_run(tmp_path / "r")
    assert not list((tmp_path / "r.cycles").glob("*.start"))


def test_one_cycle_is_a_fit(ds: Dataset) -> None:
    net = nets.build("mlp", ds, widths=[4])

    def never(run: store.Run, cycle: int) -> nn.Module:
        raise AssertionError("the last cycle is not followed by a change")

    one = train.cycles(net, ds, Recipe(epochs=1), never, 1, device="cpu")
    plain = train.fit(net, ds, Recipe(epochs=1), device="cpu")
    for name, value in plain.net.state_dict().items():
        assert np.array_equal(value, one.net.state_dict()[name])


def test_a_cycle_goes_on_only_from_the_weights_that_it_was_started_with(ds: Dataset, tmp_path: Path) -> None:
    net = nets.build("mlp", ds, widths=[4])

    def scaled(by: float) -> Callable[[store.Run, int], nn.Module]:
        def change(run: store.Run, cycle: int) -> nn.Module:
            with torch.no_grad():
                for one in run.net.parameters():
                    one.mul_(by)
            return run.net

        return change

    first = train.cycles(net, ds, Recipe(epochs=1), scaled(0.5), 2, out=tmp_path / "r", device="cpu")
    again = train.cycles(net, ds, Recipe(epochs=1), scaled(0.5), 2, out=tmp_path / "r", resume=True, device="cpu")
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[name])
    with pytest.raises(InputError, match=r"r.cycles/1 was started from other weights"):
        train.cycles(net, ds, Recipe(epochs=1), scaled(0.1), 2, out=tmp_path / "r", resume=True, device="cpu")
    other = nets.build("mlp", ds, widths=[4], seed=1)
    with pytest.raises(InputError, match=r"r.cycles/0 was started from other weights"):
        train.cycles(other, ds, Recipe(epochs=1), scaled(0.5), 2, out=tmp_path / "r", resume=True, device="cpu")


def test_overwriting_leaves_no_cycle_of_before(ds: Dataset, tmp_path: Path) -> None:
    net = nets.build("mlp", ds, widths=[4])
    for count in (3, 2):
        train.cycles(
            net, ds, Recipe(epochs=1), lambda run, cycle: run.net, count, out=tmp_path / "r", overwrite=True,
            device="cpu",
        )  # fmt: skip
    assert not (tmp_path / "r.cycles" / "2").exists()
