"""Recipes are data, and the learning rate is a closed form of the step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import InputError
from nervure.train import Recipe
from nervure.train.recipe import learning_rate


def test_json_round_trip(tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, schedule="step", milestones=(1, 2), callbacks=({"name": "weight-average"},))
    (tmp_path / "r.json").write_text(json.dumps(recipe.to_json()))
    assert Recipe.from_file(tmp_path / "r.json") == recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"lr": -1}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"optimizer": "adamm"}, "optimizer"),
        ({"epoch": 3}, "epoch"),
        ({"schedule": "step"}, "milestones"),
        ({"epochs": 2, "warmup": 2}, "warmup"),
        ({"nesterov": True}, "nesterov"),
    ],
)
def test_bad_values_give_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Recipe(**values)
    assert "\n" not in str(error.value)


def test_files_that_hold_no_recipe(tmp_path: Path) -> None:
    for text in ("[1]", "{", '{"epochs": "many"}'):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(InputError):
            Recipe.from_file(tmp_path / "r.json")
    with pytest.raises(InputError, match="not a recipe"):
        Recipe.from_file(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("cosine", lambda optimizer, total: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)),
        (
            "linear",
            lambda optimizer, total: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total),
        ),
        ("constant", lambda optimizer, total: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0, total)),
    ],
)
def test_schedules_against_torch(schedule: str, make) -> None:  # type: ignore[no-untyped-def]
    recipe = Recipe(epochs=4, lr=0.3, schedule=schedule)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make(optimizer, 4 * 5)
    for step in range(20):
        assert learning_rate(recipe, step, 5) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_steps_and_warmup() -> None:
    recipe = Recipe(epochs=4, lr=1.0, schedule="step", milestones=(2, 3), gamma=0.5, warmup=1)
    rates = [learning_rate(recipe, step, 2) for step in range(8)]
    assert rates == [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


@given(warmup=st.floats(0, 2.99), steps=st.integers(1, 40), share=st.floats(0, 1, exclude_max=True))
def test_no_rate_is_above_the_one_asked_for(warmup: float, steps: int, share: float) -> None:
    for schedule in ("constant", "cosine", "linear"):
        recipe = Recipe(epochs=3, lr=0.1, schedule=schedule, warmup=warmup)
        assert 0 < learning_rate(recipe, int(share * 3 * steps), steps) <= 0.1


def test_warmup_of_less_than_a_step() -> None:
    assert learning_rate(Recipe(lr=0.1, warmup=0.01), 0, 10) == 0.1


def test_differences_are_named() -> None:
    assert Recipe(lr=0.1).difference(Recipe(lr=0.2)) == ["lr: 0.1 is not 0.2"]


def test_the_rate_may_fall_with_each_step() -> None:
    rates = [learning_rate(Recipe(epochs=2, lr=1.0, lr_decay=0.5), step, 2) for step in range(4)]
    assert rates == pytest.approx([1.0, 1 / 1.5, 0.5, 1 / 2.5])
    both = Recipe(epochs=2, lr=1.0, lr_decay=0.5, schedule="step", milestones=(1,))
    assert learning_rate(both, 3, 2) == pytest.approx(0.1 / 2.5)
