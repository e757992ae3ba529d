"""Calling a network on a batch: with the mask where the network takes one."""

from __future__ import annotations

import inspect

from torch import Tensor, nn

from nervure.data.dataset import Batch

__all__ = ["call", "takes_mask"]

_TAKES_MASK: dict[type[nn.Module], bool] = {}


def call(net: nn.Module, batch: Batch) -> Tensor:
    """The network's output for a batch; unequal lengths reach networks whose ``forward`` takes ``mask``.

    >>> import torch
    >>> batch = Batch(torch.ones(2, 3), None, torch.arange(2))
    >>> call(nn.Identity(), batch).shape
    torch.Size([2, 3])
    """
    if batch.mask is not None and takes_mask(net):
        out = net(batch.x, mask=batch.mask)
    else:
        out = net(batch.x)
    return out if isinstance(out, Tensor) else out[0]


def takes_mask(net: nn.Module) -> bool:
    """Whether the network's ``forward`` has an argument named ``mask``."""
    kind = type(net)
    if kind not in _TAKES_MASK:
        _TAKES_MASK[kind] = "mask" in inspect.signature(kind.forward).parameters
    return _TAKES_MASK[kind]
