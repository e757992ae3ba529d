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

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"cross-entropy: label_smoothing = {self.label_smoothing}; give a value from 0 to below 1")

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch, and its accuracy."""
        scores = call(net, batch)
        labels = _targets(batch)
        if scores.ndim != 2 or (self.class_weights is not None and len(self.class_weights) != scores.shape[1]):
            weights = "" if self.class_weights is None else f", and there are {len(self.class_weights)} class weights"
            raise InputError(
                f"cross-entropy: the network gives outputs of shape {tuple(scores.shape[1:])}{weights}; it needs one "
                "score, and one weight, a class"
            )
        try:
            losses = functional.cross_entropy(scores, labels, label_smoothing=self.label_smoothing, reduction="none")
        except IndexError as error:  # a GPU says this in its own words, later
            raise InputError(
                f"cross-entropy: a label is outside 0 to {scores.shape[1] - 1}, the classes that the network knows"
            ) from error
        if self.class_weights is not None:
            losses = losses * losses.new_tensor(self.class_weights)[labels]
        with torch.no_grad():
            accuracy = (scores.argmax(dim=1) == labels).to(torch.float32).mean()
        return losses.mean(), {"accuracy": accuracy}


@dataclass(frozen=True)
class SquaredError:
    """Mean squared difference of output and target.

    >>> batch = Batch(torch.tensor([[2.0], [0.0]]), torch.tensor([0.0, 0.0]), torch.arange(2))
    >>> float(SquaredError()(nn.Identity(), batch)[0])
    2.0
    """

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch."""
        out, target = _paired(net, batch)
        return functional.mse_loss(out, target), {}


@dataclass(frozen=True)
class AbsoluteError:
    """Mean absolute difference of output and target.

    >>> batch = Batch(torch.tensor([[2.0], [0.0]]), torch.tensor([0.0, 0.0]), torch.arange(2))
    >>> float(AbsoluteError()(nn.Identity(), batch)[0])
    1.0
    """

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch."""
        out, target = _paired(net, batch)
        return functional.l1_loss(out, target), {}


@dataclass(frozen=True)
class HuberError:
    """Squared difference up to ``delta``, absolute beyond.

    >>> batch = Batch(torch.tensor([[2.0], [0.0]]), torch.tensor([0.0, 0.0]), torch.arange(2))
    >>> float(HuberError(delta=1.0)(nn.Identity(), batch)[0])
    0.75
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise InputError(f"huber: delta = {self.delta}; give a value above 0")

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Logs]:
        """Mean loss of a batch."""
        out, target = _paired(net, batch)
        return functional.huber_loss(out, target, delta=self.delta), {}


def _targets(batch: Batch) -> Tensor:
    if batch.y is None:
        raise InputError("this objective needs labels, and the data has none; choose objective='reconstruction'")
    return batch.y


def _paired(net: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    out, target = call(net, batch).flatten(1), _targets(batch)
    target = target.to(out.dtype if out.dtype == torch.float64 else torch.float32).reshape(len(target), -1)
    if out.shape != target.shape:
        raise InputError(f"the network gives {out.shape[1]} outputs a sample, the data has {target.shape[1]} targets")
    return out, target
