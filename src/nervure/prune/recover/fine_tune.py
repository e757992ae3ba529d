"""Fine-tuning: training goes on, if wished with the uncut network as teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.objectives.distillation import Distillation
from nervure.observe.borrowed import device_of
from nervure.prune.recover.recovery import Given
from nervure.train.evaluate import predict
from nervure.train.fit import fit
from nervure.train.recipe import Recipe

__all__ = ["FineTune", "usual_recipe"]


def usual_recipe(seed: int = 0, epochs: int = 40) -> Recipe:
    """How the thesis fine-tunes (spec majority-voting-pruning, 11), but for the flips that only pictures bear.

    >>> usual_recipe().lr
    0.001
    """
    return Recipe(epochs=epochs, batch=32, optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, seed=seed)


@dataclass(frozen=True)
class FineTune:
    """Train the cut network on the whole training split; the test split is not touched.

    Parameters
    ----------
    recipe : Recipe or mapping, optional
        How; by default :func:`usual_recipe` with the seed of the recovery.
    distillation : float
        Share of the loss that follows the uncut network's softened scores. Above 0 no labels are needed: where the
        data has none, the classes that the uncut network sees stand for them.
    temperature : float
        How soft they are.

    Examples
    --------
    >>> FineTune(distillation=0.5).temperature
    4.0
    """

    recipe: Recipe | Mapping[str, object] | None = None
    distillation: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.distillation <= 1:
            raise InputError(f"fine-tune: distillation = {self.distillation}; give a share from 0 to 1")

    def __call__(self, net: nn.Module, given: Given) -> nn.Module:
        """The trained network, back on the device it came from."""
        recipe = usual_recipe(given.seed) if self.recipe is None else self.recipe
        recipe = recipe if isinstance(recipe, Recipe) else Recipe.of(recipe)
        teacher = (
            Distillation(given.original, weight=self.distillation, temperature=self.temperature)
            if self.distillation
            else None
        )
        home = device_of(net)
        ds = _without_test(given.ds)
        if teacher is not None and ds.task == "none":
            ds = _labelled(ds, given.original)
        run = fit(net, ds, recipe, objective=teacher, device=home.type)
        return run.net.to(home)


def _without_test(ds: Dataset) -> Dataset:
    splits = {name: at for name, at in ds.splits.items() if name != "test"}
    return dataclasses.replace(ds, splits=splits)


def _labelled(ds: Dataset, original: nn.Module) -> Dataset:
    """The data with the uncut network's classes as labels."""
    scores = predict(original, ds, device=device_of(original).type)
    if scores.ndim != 2:
        raise InputError(f"fine-tune: distillation needs class scores; the uncut network gives {scores.shape[1:]}")
    names = tuple(str(number) for number in range(scores.shape[1]))
    return dataclasses.replace(ds, y=scores.argmax(axis=1).astype(np.int64), task="classification", names=names)
