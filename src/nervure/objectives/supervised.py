"""Objectives with targets: cross-entropy, squared, absolute and Huber error.

Each is a mean over the batch's samples, linear in them, so that shards of a batch weighted by their counts give
what the whole batch gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call

__all__ = ["AbsoluteError", "CrossEntropy", "HuberError", "SquaredError"]

Logs = dict[str, Tensor]


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of class scores, with label smoothing and class weights.

    Parameters
    ----------
    label_smoothing : float
        Share of the target spread evenly over all classes.
    class_weights : sequence of float, optional
        One factor a class, multiplied into a sample's loss; the mean is over samples, not over weights.

    Examples
    --------
    >>> batch = Batch(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), torch.arange(1))
    >>> loss, logs = CrossEntropy()(nn.Identity(), batch)
    >>> round(float(loss), 4), float(logs["accuracy"])
    (0.1269, 1.0)
    """

    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch, and its accuracy."""
        scores = call(net, batch)
        labels = _targets(batch)
        losses = functional.cross_entropy(scores, labels, label_smoothing=self.label_smoothing, reduction="none")
        if self.class_weights is not None:
            losses = losses * losses.new_tensor(self.class_weights)[labels]
        with torch.no_grad():
            accuracy = (scores.argmax(dim=1) == labels).to(torch.float32).mean()
        return losses.mean(), {"accuracy": accuracy}


@dataclass(frozen=True)
class SquaredError:
    """Mean squared difference of output and target."""

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch."""
        out, target = _paired(net, batch)
        return functional.mse_loss(out, target), {}


@dataclass(frozen=True)
class AbsoluteError:
    """Mean absolute difference of output and target."""

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch."""
        out, target = _paired(net, batch)
        return functional.l1_loss(out, target), {}


@dataclass(frozen=True)
class HuberError:
    """Squared difference up to ``delta``, absolute beyond."""

    delta: float = 1.0

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch."""
        out, target = _paired(net, batch)
        return functional.huber_loss(out, target, delta=self.delta), {}


def _targets(batch: Batch) -> Tensor:
    if batch.y is None:
        raise InputError("this objective needs labels, and the data has none; choose objective='reconstruction'")
    return batch.y


def _paired(net: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    out, target = call(net, batch), _targets(batch).to(torch.float32)
    return out.flatten(1), target.reshape(len(target), -1)
