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


def usual_recipe(fields: Mapping[str, object] | None = None) -> Recipe:
    """How the thesis fine-tunes (spec majority-voting-pruning, 11), but for the flips that only pictures bear.

    ``fields`` of the recipe stand in place of the usual ones.

    >>> usual_recipe().lr, usual_recipe({"epochs": 5}).epochs
    (0.001, 5)
    """
    usual = {"epochs": 40, "batch": 32, "optimizer": "sgd", "lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
    return Recipe.of({**usual, **(fields or {})})


@dataclass(frozen=True)
class FineTune:
    """Train the cut network on the whole training split; the test split is not touched.

    Parameters
    ----------
    recipe : Recipe or mapping, optional
        How; or fields in place of those of :func:`usual_recipe`, whose seed is that of the recovery.
    distillation : float
        Share of the loss that follows the uncut network's softened scores. Above 0 no labels are needed: where the
        data has none, the classes that the uncut network sees stand for them. For classifiers and clusterers.
    temperature : float
        How soft they are.

    Examples
    --------
    >>> FineTune(distillation=0.5).temperature
    4.0
    >>> FineTune(recipe={"epoch": 5})
    Traceback (most recent call last):
    nervure.errors.InputError: recipe: unknown field 'epoch'; did you mean 'epochs'? There are: epochs, ...
    """

    recipe: Recipe | Mapping[str, object] | None = None
    distillation: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if self.recipe is not None and not isinstance(self.recipe, Recipe | Mapping):
            raise InputError(f"fine-tune: recipe = {self.recipe!r}; give fields of a recipe, such as epochs")
        if not 0 <= self.distillation <= 1:
            raise InputError(f"fine-tune: distillation = {self.distillation}; give a share from 0 to 1")
        if not 0 < self.temperature < float("inf"):
            raise InputError(f"fine-tune: temperature = {self.temperature}; give one above 0")
        self._recipe(0)

    def _recipe(self, seed: int) -> Recipe:
        if isinstance(self.recipe, Recipe):
            return self.recipe
        return usual_recipe({"seed": seed, **(self.recipe or {})})

    def __call__(self, net: nn.Module, given: Given) -> nn.Module:
        """The trained network, back on the device it came from."""
        teacher = (
            Distillation(given.original, weight=self.distillation, temperature=self.temperature)
            if self.distillation
            else None
        )
        home = device_of(net)
        ds = _without_test(given.ds)
        if teacher is not None and ds.task != "classification":
            ds = _labelled(ds, given.original, str(home))
        run = fit(
            net, ds, self._recipe(given.seed), objective=teacher, device=str(home), progress=given.progress,
            stop=given.stop,
        )  # fmt: skip
        return run.net.to(home)


def _without_test(ds: Dataset) -> Dataset:
    splits = {name: at for name, at in ds.splits.items() if name != "test"}
    return dataclasses.replace(ds, splits=splits)


def _labelled(ds: Dataset, original: nn.Module, device: str) -> Dataset:
    """The data with the uncut network's classes as labels."""
    scores = predict(original, ds, device=device)
    if ds.task != "none" or scores.ndim != 2:
        found = f"task {ds.task!r}" if ds.task != "none" else f"outputs {scores.shape[1:]}"
        raise InputError(f"fine-tune: distillation follows scores of classes, not {found}; leave distillation out")
    names = tuple(str(number) for number in range(scores.shape[1]))
    return dataclasses.replace(ds, y=scores.argmax(axis=1).astype(np.int64), task="classification", names=names)
