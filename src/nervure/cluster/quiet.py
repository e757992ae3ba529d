"""A network for a while in evaluation mode, or with batch norms that do not remember what passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["evaluated", "quiet_norms"]


@contextmanager
def evaluated(net: nn.Module) -> Iterator[None]:
    """Within, the network is in evaluation mode; afterwards each of its modules in the one that it was in.

    >>> net = nn.Sequential(nn.Dropout().eval(), nn.Dropout())
    >>> with evaluated(net):
    ...     net[1].training
    False
    >>> net[0].training, net[1].training
    (False, True)
    """
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def quiet_norms(net: nn.Module) -> Iterator[None]:
    """Within, batch norms use the statistics of their batch and keep their running ones as they are.

    >>> import torch
    >>> norm = nn.BatchNorm1d(2)
    >>> with quiet_norms(norm):
    ...     _ = norm(torch.randn(4, 2) + 5)
    >>> norm.running_mean.tolist()
    [0.0, 0.0]
    """
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    counts = [None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone() for norm in norms]
    held = list(zip([norm.momentum for norm in norms], counts, strict=True))
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, held, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)
