"""What training minimises: functions ``(net, batch) -> loss, logs``, by name.

A row resolves to a factory: called with the recipe's options it gives the objective. An objective returns the
mean loss over the batch's samples, and further means to be kept in the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.registry import Table

__all__ = ["BY_TASK", "Objective", "get", "make", "names", "objective_of", "table"]

BY_TASK = {"classification": "cross-entropy", "regression": "mse", "none": "reconstruction"}
"""The objective of each task, where no other is asked for."""


class Objective(Protocol):
    """What training minimises: the mean loss of a batch, and means to be logged."""

    def __call__(self, net: nn.Module, batch: Batch, /) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Loss and logs of one batch."""
        ...


table: Table[Callable[..., Objective]] = Table(
    "objective",
    {
        "cross-entropy": (
            "nervure.objectives.supervised:CrossEntropy",
            "class scores against labels, with smoothing and class weights",
            "standard",
        ),
        "mse": ("nervure.objectives.supervised:SquaredError", "mean squared error", "standard"),
        "mae": ("nervure.objectives.supervised:AbsoluteError", "mean absolute error", "standard"),
        "huber": ("nervure.objectives.supervised:HuberError", "squared near, absolute far", "Huber 1964"),
        "reconstruction": (
            "nervure.objectives.reconstruction:Reconstruction",
            "the output against the input",
            "standard",
        ),
        "distillation": (
            "nervure.objectives.distillation:Distillation",
            "a teacher's softened scores and labels; in code alone, for recipes hold no network",
            "Hinton, Vinyals and Dean 2015",
        ),
        "clustering": (
            "nervure.cluster.objective:Clustering",
            "reconstruction and clusters of the latents, with labels or regularisers where asked",
            "Alqahtani, thesis, chapters 3 and 4",
        ),
    },
    group="nervure.objectives",
)
names = table.names
get = table.get


def make(name: str, options: Mapping[str, object] | None = None) -> Objective:
    """The objective ``name`` with its options; a wrong option is named.

    >>> make("huber", {"delta": 2.0})
    HuberError(delta=2.0)
    """
    made: Objective = table.make(name, options or {})
    return made


def objective_of(task: str, given: Objective | None = None) -> Objective:
    """The objective that was given, or the task's own.

    >>> objective_of("regression")
    SquaredError()
    """
    return make(BY_TASK[task]) if given is None else given
