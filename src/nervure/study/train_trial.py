"""The trial ``train``: one network, trained by a recipe and measured on the test split."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from nervure import data, nets
from nervure.data.dataset import Dataset
from nervure.study.settings import TrainSettings
from nervure.study.trials import Job, Measured
from nervure.train import Recipe, fit

__all__ = ["at_most", "train", "training_data"]


def train(job: Job) -> Measured:
    """Train a network whose weights, order and augmentation follow ``job.seed``; the splits stay the same.

    >>> job = Job("digits", settings={"net": "lenet-300-100", "recipe": {"epochs": 1}}, device="cpu")
    >>> measured = train(job)
    >>> measured.metrics["accuracy"] > 0.5, sorted(measured.durations)
    (True, ['data', 'train'])
    """
    settings = TrainSettings.read(job.settings)
    begun = time.perf_counter()
    ds = training_data(job, settings.train_samples)
    loaded = time.perf_counter()
    recipe = Recipe.of({**settings.recipe, "seed": job.seed})
    net = nets.build(settings.net, ds, seed=job.seed, **settings.net_options)
    run = fit(net, ds, recipe, device=job.device)
    done = time.perf_counter()
    metrics = {
        **run.metrics,
        "train_samples": float(len(ds.indices("train"))),
        "epochs": float(len(run.history)),
    }
    return Measured(metrics, {"data": loaded - begun, "train": done - loaded})


def training_data(job: Job, samples: int | None) -> Dataset:
    """The data of a trial that trains, with at most ``samples`` for training, drawn the same way each time.

    >>> len(training_data(Job("digits"), 100).indices("train"))
    100
    """
    options: dict[str, Any] = job.options
    return at_most(data.load(job.source, data_dir=job.data_dir, **options), "train", samples, 0)


def at_most(ds: Dataset, split: str, count: int | None, seed: int) -> Dataset:
    """The data with at most ``count`` samples in a split, drawn by ``seed``; other splits are whole.

    >>> len(at_most(data.load("digits"), "train", 100, 0).indices("train"))
    100
    """
    at = ds.indices(split)
    if count is None or count >= len(at):
        return ds
    kept = np.sort(np.random.default_rng(seed).permutation(at)[:count])
    return dataclasses.replace(ds, splits={**ds.splits, split: kept})
