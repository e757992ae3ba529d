"""Reconstruction: a network's output is held against its own input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call

__all__ = ["Reconstruction"]


@dataclass(frozen=True)
class Reconstruction:
    """Mean squared error between input and output; padded time steps do not count.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.ones(2, 1, 4), None, torch.arange(2))
    >>> loss, logs = Reconstruction()(nn.Identity(), batch)
    >>> float(loss)
    0.0
    """

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over samples of each sample's mean squared error."""
        out = call(net, batch)
        if out.shape != batch.x.shape:
            raise InputError(
                f"reconstruction: the network gives {tuple(out.shape[1:])} for samples of {tuple(batch.x.shape[1:])}; "
                "it needs an auto-encoder, which gives back what it reads"
            )
        error = (out - batch.x).square()
        if batch.mask is None:
            return error.flatten(1).mean(dim=1).mean(), {}
        seen = batch.mask[:, None].expand_as(error)
        per_sample = (error * seen).flatten(1).sum(dim=1) / seen.flatten(1).sum(dim=1).clamp(min=1)
        return per_sample.mean(), {}
