from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nervure import data
from nervure.errors import InputError
from nervure.study.train_trial import at_most, train, training_data
from nervure.study.trials import Job

JOB = Job("digits", settings={"net": "lenet-300-100", "recipe": {"epochs": 2}, "train_samples": 200}, device="cpu")


def test_the_seed_decides_and_the_callers_generator_stays() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = train(JOB), train(JOB), train(dataclasses.replace(JOB, seed=1))
    assert first.metrics == again.metrics
    assert first.metrics["log_loss"] != other.metrics["log_loss"]
    assert first.metrics["train_samples"] == 200
    assert first.metrics["epochs"] == 2
    assert 0.2 < first.metrics["accuracy"] <= 1
    assert torch.equal(before, torch.get_rng_state())


def test_a_seed_in_the_recipe_gives_way_to_the_trials() -> None:
    settings = {**JOB.settings, "recipe": {"epochs": 2, "seed": 9}}
    assert train(dataclasses.replace(JOB, settings=settings)).metrics == train(JOB).metrics


def test_fewer_training_samples_leave_validation_and_test_alone() -> None:
    ds = data.load("digits")
    small = training_data(JOB, 100)
    kept = small.indices("train")
    assert len(kept) == len(set(kept.tolist())) == 100
    assert set(kept.tolist()) <= set(ds.indices("train").tolist())
    assert np.array_equal(small.indices("test"), ds.indices("test"))
    assert np.array_equal(training_data(JOB, 100).indices("train"), kept)
    assert at_most(ds, "train", 10**6, 0) is ds
    assert len(ds.indices("train")) == 1258


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "net: Field required"),
        ({"net": "lenet5", "epochs": 3}, "epochs: Extra inputs"),
        ({"net": "lenet5", "train_samples": 0}, "train_samples: "),
        ({"net": "lenet5", "recipe": {"epochs": 0}}, "recipe: epochs"),
        ({"net": "lenet55"}, "did you mean 'lenet5'"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        train(Job("digits", settings=settings, device="cpu"))
