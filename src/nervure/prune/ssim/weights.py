"""Which weights are clustered: a layer's own, or without the scale that a batch norm hides.

Spec ssim-kmeans-pruning, 6.2: multiplying a filter changes nothing behind a batch norm, but SSIM sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.judge import Layer
from nervure.prune.criteria.trail import NORMS, trails

__all__ = ["Weights", "folded", "scales", "standardised"]

Weights = Literal["own", "standardised", "folded"]


def standardised(weight: Tensor) -> Tensor:
    """Each filter of ``weight`` (n, ...) with mean 0 and standard deviation 1; one of equal values becomes 0.

    >>> standardised(torch.tensor([[1.0, 3.0], [10.0, 30.0], [2.0, 2.0]]))
    tensor([[-1.,  1.],
            [-1.,  1.],
            [ 0.,  0.]])
    """
    flat = weight.flatten(1).double()
    centred = flat - flat.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()
    # What rounding leaves of a filter of equal values is not blown up.
    real = spread > 1e-7 * flat.abs().amax(1, keepdim=True)
    return torch.where(real, centred / spread, 0.0).to(weight.dtype).reshape(weight.shape)


def folded(weight: Tensor, scale: Tensor) -> Tensor:
    """Each filter of ``weight`` (n, ...) times its ``scale`` (n,): the weights with the batch norm folded into them.

    >>> folded(torch.ones(2, 1, 2), torch.tensor([1.0, -2.0])).flatten(1)
    tensor([[ 1.,  1.],
            [-2., -2.]])
    """
    return weight * scale.to(weight).reshape(-1, *[1] * (weight.ndim - 1))


def scales(net: nn.Module, batch: Batch, layers: Sequence[Layer]) -> Mapping[str, Tensor]:
    """``gamma / sqrt(variance + eps)`` of the batch norm that reads what each layer gives, where there is one.

    Behind an activation a norm cannot be folded, and behind a flatten it has a scale for each position.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, eps=3.0), nn.ReLU(), nn.Linear(3, 1))
    >>> batch = Batch(torch.zeros(2, 2), None, torch.arange(2))
    >>> scales(net, batch, [Layer("0", net[0], 3), Layer("3", net[3], 1)])
    {'0': tensor([0.5000, 0.5000, 0.5000])}
    """
    found = {}
    for name, trail in trails(net, batch, layers).items():
        norm = net.get_submodule(trail.norm) if trail.norm is not None and trail.bare else None
        if isinstance(norm, NORMS) and norm.running_var is not None:
            gamma = 1.0 if norm.weight is None else norm.weight.detach()
            found[name] = gamma / (norm.running_var.detach() + norm.eps).sqrt()
    return found
