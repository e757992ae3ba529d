"""The trial ``train``: one network, trained by a recipe and measured on the test split."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nervure import data, nets
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.study.trials import Job, Measured
from nervure.train import Recipe, fit

__all__ = ["TrainSettings", "fewer", "train"]


class TrainSettings(BaseModel):
    """What the trial ``train`` is told: a network, a recipe, and how many training samples (or all).

    >>> TrainSettings(net="lenet5", recipe={"epochs": 2}).train_samples is None
    True
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    net: str
    net_options: dict[str, object] = Field(default_factory=dict)
    recipe: dict[str, object] = Field(default_factory=dict)
    train_samples: int | None = Field(None, ge=1)

    @classmethod
    def read(cls, settings: dict[str, object]) -> TrainSettings:
        """From JSON settings; an error names the field."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"trial 'train': {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def train(job: Job) -> Measured:
    """Train a network whose weights, order and augmentation follow ``job.seed``; the splits stay the same.

    >>> job = Job("digits", settings={"net": "lenet-300-100", "recipe": {"epochs": 1}}, device="cpu")
    >>> measured = train(job)
    >>> measured.metrics["accuracy"] > 0.5, sorted(measured.durations)
    (True, ['data', 'train'])
    """
    settings = TrainSettings.read(job.settings)
    options: dict[str, Any] = job.options
    begun = time.perf_counter()
    ds = fewer(data.load(job.source, data_dir=job.data_dir, **options), settings.train_samples)
    loaded = time.perf_counter()
    recipe = Recipe(**{**settings.recipe, "seed": job.seed})  # type: ignore[arg-type]
    net = nets.build(settings.net, ds, seed=job.seed, **settings.net_options)  # type: ignore[arg-type]
    run = fit(net, ds, recipe, device=job.device)
    done = time.perf_counter()
    metrics = {
        **run.metrics,
        "train_samples": float(len(ds.indices("train"))),
        "epochs": float(len(run.history)),
    }
    return Measured(metrics, {"data": loaded - begun, "train": done - loaded})


def fewer(ds: Dataset, samples: int | None) -> Dataset:
    """The data with at most ``samples`` for training, drawn the same way each time; other splits are whole.

    >>> len(fewer(data.load("digits"), 100).indices("train"))
    100
    """
    train = ds.indices("train")
    if samples is None or samples >= len(train):
        return ds
    kept = np.sort(np.random.default_rng(0).permutation(train)[:samples])
    return dataclasses.replace(ds, splits={**ds.splits, "train": kept})
