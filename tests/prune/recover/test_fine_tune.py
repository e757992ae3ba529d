from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError, InterruptedWork
from nervure.prune.recover import fine_tune, recover
from nervure.store import Run
from nervure.train import Progress, Recipe

recover_room = importlib.import_module("nervure.prune.recover")

Make = Callable[..., nn.Module]
Noise = Callable[..., Dataset]
KEPT = [0, 2, 3, 6]


@pytest.fixture
def pair(seeded: Make, thinned: Make) -> tuple[nn.Module, nn.Module]:
    net = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)))
    return thinned(net, [("0", "out", KEPT), ("2", "in", KEPT)]), net


def test_it_learns_what_the_teacher_says_without_labels(pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
    small, net = pair
    ds = noise(6, n=200, labels=False)
    recipe = {"epochs": 30, "lr": 0.01, "batch": 50}
    fixed = recover(small, net, ds, method="fine-tune", recipe=recipe, distillation=1.0, temperature=2.0)
    x = ds.batch(range(200)).x
    with torch.no_grad():
        gaps = [float((one(x).softmax(1) - net(x).softmax(1)).norm()) for one in (small, fixed)]
    assert gaps[1] < 0.5 * gaps[0]


def test_the_test_split_is_not_touched(
    pair: tuple[nn.Module, nn.Module], noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = noise(6)
    ds = dataclasses.replace(ds, splits={"train": np.arange(60), "test": np.arange(60, 80)})
    seen: list[Dataset] = []
    real = fine_tune.fit

    def fit(net: nn.Module, data: Dataset, recipe: Recipe, **options: object) -> object:
        seen.append(data)
        assert recipe == Recipe(epochs=1, batch=20)
        return real(net, data, recipe, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fine_tune, "fit", fit)
    recover(*pair, ds, method="fine-tune", recipe=Recipe(epochs=1, batch=20))
    assert set(seen[0].splits) == {"train"}


def test_the_seed_reaches_the_usual_recipe(
    pair: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch, noise: Noise
) -> None:
    asked: list[Recipe] = []

    def fit(net: nn.Module, data: Dataset, recipe: Recipe, **options: object) -> object:
        asked.append(recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tune, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        recover(*pair, noise(6), method="fine-tune", seed=7)
    assert (asked[0].seed, asked[0].optimizer, asked[0].batch) == (7, "sgd", 32)


def test_it_is_trained_where_the_repair_is_done_and_comes_back(
    pair: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch, noise: Noise
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        fine_tune, "fit", lambda net, *given, device, **options: asked.append(device) or Run.of(net, ds)
    )
    monkeypatch.setattr(fine_tune, "predict", lambda *given, device: asked.append(device) or np.zeros((80, 2)))
    ds = noise(6, labels=False)
    # Nothing is computed, and nothing moves, so the device need not be there.
    monkeypatch.setattr(nn.Module, "to", lambda net, place: asked.append(f"to {place}") or net)
    monkeypatch.setattr(fine_tune, "device_of", lambda net: torch.device("cuda", 1))
    monkeypatch.setattr(recover_room, "pick_device", torch.device)
    recover(*pair, ds, method="fine-tune", distillation=1.0, device="cuda:1")
    assert asked == ["to cuda:1", "cuda:1", "cuda:1", "to cuda:1", "to cpu"]


@pytest.mark.parametrize(
    ("recipe", "epochs", "rate"), [({"epochs": 3}, 3, 1e-3), ({"lr": 0.1}, 40, 0.1), (Recipe(lr=0.2), 10, 0.2)]
)
def test_fields_stand_in_place_of_the_usual_ones(
    recipe: Recipe | dict[str, object], epochs: int, rate: float, pair: tuple[nn.Module, nn.Module], noise: Noise,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[Recipe] = []

    def fit(net: nn.Module, data: Dataset, recipe: Recipe, **options: object) -> object:
        asked.append(recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tune, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        recover(*pair, noise(6), method="fine-tune", recipe=recipe)
    assert (asked[0].epochs, asked[0].lr) == (epochs, rate)
    assert asked[0].optimizer == ("adam" if isinstance(recipe, Recipe) else "sgd")


def test_progress_is_told_and_a_stop_is_heard(pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
    told: list[Progress] = []
    recover(*pair, noise(6), method="fine-tune", recipe={"epochs": 2}, progress=told.append)
    assert [one.epoch for one in told if one.row is not None] == [1, 2]
    with pytest.raises(InterruptedWork, match="stopped in epoch 1"):
        recover(*pair, noise(6), method="fine-tune", stop=lambda: True)


def test_a_teacher_needs_classes(pair: tuple[nn.Module, nn.Module], noise: Noise) -> None:
    ds = dataclasses.replace(noise(6), task="regression", y=np.zeros((80, 2), dtype=np.float32))
    with pytest.raises(InputError, match="scores of classes, not task 'regression'; leave distillation out"):
        recover(*pair, ds, method="fine-tune", distillation=0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"distillation": 2}, "distillation = 2"),
        ({"distillation": float("nan")}, "distillation = nan"),
        ({"temperature": 0}, "temperature = 0"),
        ({"recipe": 5}, "recipe = 5"),
        ({"recipe": {"epoch": 5}}, "did you mean 'epochs'"),
        ({"recipe": {"epochs": -1}}, "epochs"),
    ],
)
def test_bad_settings(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fine_tune.FineTune(**options)  # type: ignore[arg-type]
