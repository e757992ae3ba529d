"""Recipe: how one network is trained, as data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["CallbackSpec", "Recipe", "learning_rate"]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_line(error, tuple(type(self).model_fields))) from error


def _line(error: ValidationError, known: tuple[str, ...]) -> str:
    """The first thing that is wrong, on one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        return f"recipe: unknown field {where!r}; {nearest(where, known)}"
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        names = tuple(re.findall(r"'([^']+)'", first["ctx"]["expected"]))
        return f"recipe: unknown {where} {first['input']!r}; {nearest(first['input'], names)}"
    got = f", got {first['input']!r}" if first["loc"] else ""
    return f"recipe: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{got}"


class CallbackSpec(_Data):
    """A callback by name, with its options: what a resumed run makes it from again."""

    name: str
    options: dict[str, object] = Field(default_factory=dict)


class Recipe(_Data):
    """How one network is trained.

    Parameters
    ----------
    epochs, batch : int
        Passes over the training split, and samples a step over all devices together.
    objective : str
        A name of ``nervure.objectives``; ``"auto"`` follows the task: cross-entropy, mse or reconstruction.
    optimizer : str
        ``sgd``, ``adam``, ``adamw`` or ``rmsprop``, with ``lr``, ``momentum`` (sgd, rmsprop), ``nesterov``
        (sgd) and ``weight_decay``.
    schedule : str
        Learning rate over the whole training: ``constant``, ``cosine`` to zero, ``linear`` to zero, or ``step``
        (times ``gamma`` at each epoch of ``milestones``); ``warmup`` epochs of linear rise come first.
    lr_decay : float
        On top of the schedule the rate at step t is divided by 1 + ``lr_decay`` t (spec deepcluster, 1.2, A4).
    class_weights : "balanced" or list, optional
        Factors on each class's loss; ``balanced`` makes every class weigh the same. Like ``label_smoothing`` it is for
        cross-entropy alone.
    patience : int, optional
        Stop after so many epochs without a better ``monitor``; it needs a validation split.
    keep : str
        ``best`` returns the epoch with the best ``monitor`` on validation, ``last`` the last one. Without a
        validation split it is always the last.
    monitor : str
        ``loss``, or a metric of the task (``accuracy``), measured on validation.
    augment : dict, optional
        Options of ``nervure.data.Augmentation``.
    copies : dict, optional
        Options of the ``nervure.data.Augmentation`` that makes ``batch.copy``, a transformed copy of each sample, for
        objectives that compare the two; validation has copies too.
    drop_last : bool
        Whether an epoch leaves out a last batch that is smaller than the others.
    clip : float, optional
        Largest norm of the gradient.
    checkpoint_steps : int
        Within a long epoch, a checkpoint is also kept each so many steps.

    Examples
    --------
    >>> Recipe(epochs=3).batch
    128
    >>> Recipe(epochs=0)
    Traceback (most recent call last):
    nervure.errors.InputError: recipe: epochs: Input should be greater than or equal to 1, got 0
    """

    epochs: int = Field(default=10, ge=1)
    batch: int = Field(default=128, ge=1)
    objective: str = "auto"
    objective_options: dict[str, object] = Field(default_factory=dict)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    schedule: Literal["constant", "cosine", "linear", "step"] = "constant"
    warmup: float = Field(default=0.0, ge=0)
    milestones: tuple[int, ...] = ()
    gamma: float = Field(default=0.1, gt=0)
    lr_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    patience: int | None = Field(default=None, ge=1)
    keep: Literal["best", "last"] = "best"
    monitor: str = "loss"
    augment: dict[str, object] | None = None
    copies: dict[str, object] | None = None
    drop_last: bool = False
    callbacks: tuple[CallbackSpec, ...] = ()
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    clip: float | None = Field(default=None, gt=0)
    checkpoint_steps: int = Field(default=1000, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones, the epochs at which the rate falls")
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup of {self.warmup} epochs leaves none of {self.epochs} to train")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer 'sgd' with momentum")
        return self

    def to_json(self) -> dict[str, object]:
        """As plain JSON data."""
        return self.model_dump(mode="json")

    @classmethod
    def from_file(cls, path: Path | str) -> Recipe:
        """Read a recipe from a JSON file."""
        import json

        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a recipe ({error})") from error
        if not isinstance(data, dict):
            raise InputError(f"{path}: not a recipe (it holds no JSON object)")
        return cls.of(data)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """From plain data, as read from JSON."""
        return cls(**values)

    def difference(self, other: Recipe) -> list[str]:
        """Where two recipes differ, a line each."""
        mine, theirs = self.to_json(), other.to_json()
        return [f"{key}: {mine[key]} is not {theirs[key]}" for key in mine if mine[key] != theirs[key]]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate at ``step`` of an epoch-long count of ``steps``: a closed form, so nothing to save.

    >>> recipe = Recipe(epochs=2, lr=1.0, schedule="cosine")
    >>> [round(learning_rate(recipe, step, 2), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    epoch = step / steps
    top = recipe.lr / (1 + recipe.lr_decay * step)
    if epoch < recipe.warmup:
        return top * min(1.0, (step + 1) / (recipe.warmup * steps))  # a warm-up may end within a step
    done = (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup)
    if recipe.schedule == "cosine":
        return top * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.schedule == "linear":
        return top * (1 - done)
    if recipe.schedule == "step":
        return top * recipe.gamma ** sum(epoch >= milestone for milestone in recipe.milestones)
    return top
