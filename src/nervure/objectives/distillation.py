"""Distillation: a network is held against a teacher's softened scores, and against labels."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call

__all__ = ["Distillation"]


@dataclass(frozen=True)
class Distillation:
    """Softened cross-entropy against a teacher, and cross-entropy against labels (Hinton, Vinyals and Dean 2015).

    A sample's loss is ``weight * T^2 * H(softmax(teacher / T), softmax(scores / T)) + (1 - weight) * H(label,
    softmax(scores))``; T² keeps the gradient's size. A sample without a label has the first term alone.

    Parameters
    ----------
    teacher : Module
        A network of the same classes. A copy of it is evaluated without gradients; it is not changed. Recipes are
        plain data and cannot hold a network, so this objective is given in code: ``train.fit(..., objective=...)``.
    weight : float
        Share of the teacher in the loss, from 0 to 1.
    temperature : float
        T, above 0.

    Examples
    --------
    >>> batch = Batch(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), torch.arange(1))
    >>> loss, logs = Distillation(nn.Identity(), weight=1.0, temperature=1.0)(nn.Identity(), batch)
    >>> round(float(loss), 4), float(logs["agreement"])
    (0.3653, 1.0)
    """

    teacher: nn.Module | None = None
    weight: float = 0.5
    temperature: float = 4.0
    _held: list[nn.Module] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.teacher, nn.Module):
            raise InputError(
                "distillation needs its teacher as a network: give "
                "train.fit(net, ds, recipe, objective=Distillation(teacher))"
            )
        if not 0 <= self.weight <= 1:
            raise InputError(f"distillation: weight = {self.weight}; give a share from 0 to 1")
        if not self.temperature > 0:
            raise InputError(f"distillation: temperature = {self.temperature}; give one above 0")
        self._held.append(copy.deepcopy(self.teacher).eval().requires_grad_(False))

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss of a batch; how often both choose the same class; accuracy where there are labels."""
        scores = call(net, batch)
        with torch.no_grad():
            aim = call(self._held[0].to(batch.x.device), batch).to(scores.dtype)
        if aim.shape != scores.shape:
            raise InputError(
                f"distillation: the teacher gives {tuple(aim.shape)}, the network {tuple(scores.shape)}; "
                "both must have the same classes"
            )
        heat = self.temperature
        soft = functional.cross_entropy(scores / heat, (aim / heat).softmax(1), reduction="none")
        losses = self.weight * heat**2 * soft
        logs = {"agreement": (scores.argmax(1) == aim.argmax(1)).to(torch.float32).mean()}
        if batch.y is None:
            if self.weight < 1:
                raise InputError("distillation with labels, and the data has none; give weight=1")
            return losses.mean(), logs
        if self.weight < 1:
            # Samples without a label (-1) give zero here.
            hard = functional.cross_entropy(scores, batch.y, reduction="none", ignore_index=-1)
            losses = losses + (1 - self.weight) * hard
        known = batch.y >= 0
        if bool(known.any()):
            logs["accuracy"] = (scores.argmax(1) == batch.y)[known].to(torch.float32).mean()
        return losses.mean(), logs
