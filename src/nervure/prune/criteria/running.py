"""Running a network under judgement: on samples of one tensor, with their mask where the network takes it."""

from __future__ import annotations

import inspect

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call

__all__ = ["refuse_several", "run"]


def run(net: nn.Module, batch: Batch) -> Tensor:
    """The network's output for a batch; a network that needs more than one tensor is refused.

    >>> import torch
    >>> run(nn.Bilinear(1, 1, 1), Batch(torch.ones(2, 1), None, torch.arange(2)))
    Traceback (most recent call last):
    nervure.errors.InputError: this criterion runs the network, which reads 2 tensors, not one
    """
    refuse_several(net, batch)
    return call(net, batch)


def refuse_several(net: nn.Module, batch: Batch) -> None:
    """Refuse a network whose ``forward`` needs more than the samples of a batch and, where they have one, their mask.

    >>> import torch
    >>> refuse_several(nn.Linear(1, 1), Batch(torch.ones(2, 1), None, torch.arange(2)))
    """
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        name
        for name, one in inspect.signature(net.forward).parameters.items()
        if one.kind in plain and one.default is one.empty and (name != "mask" or batch.mask is None)
    ]
    if len(needed) > 1:
        raise InputError(f"this criterion runs the network, which reads {len(needed)} tensors, not one")
