"""Where time steps go: windows and smooth warps of whole batches of series."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["resample", "source_steps"]


def source_steps(lengths: Tensor, steps: int, window: Tensor, place: Tensor, bends: Tensor) -> Tensor:
    """(n, steps) fractional time steps to read from, within each series' own length.

    With ``u`` from 0 to 1 over a series of length L: it is bent to ``u + sum_k b_k sin(k pi u) / (k pi)``
    (rising, and fixed at both ends, while the sizes of ``b`` add up to less than 1), then spread over a
    window of share ``window`` that begins at share ``place`` of the room that is left. Steps beyond L read
    from themselves.

    >>> zero = torch.zeros(1)
    >>> source_steps(torch.tensor([3]), 4, zero + 1, zero, torch.zeros(1, 2)).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    own = torch.arange(steps, device=lengths.device, dtype=bends.dtype)
    last = (lengths - 1).clamp_min(1).to(bends.dtype)[:, None]
    u = own / last
    for k in range(1, bends.shape[1] + 1):
        u = u + bends[:, k - 1, None] * torch.sin(k * math.pi * own / last) / (k * math.pi)
    read = last * ((1 - window[:, None]) * place[:, None] + window[:, None] * u)
    end = (lengths - 1).to(bends.dtype)[:, None]
    return torch.where(own <= end, torch.minimum(read.clamp_min(0), end), own)


def resample(x: Tensor, at: Tensor) -> Tensor:
    """(n, channels, time) series read at fractional steps ``at`` (n, time), linearly between neighbours.

    >>> resample(torch.tensor([[[0.0, 10.0]]]), torch.tensor([[0.5, 1.0]])).tolist()
    [[[5.0, 10.0]]]
    """
    low = at.floor().clamp_(0, x.shape[-1] - 1)
    share = (at - low)[:, None]
    first = low.to(torch.int64)
    second = (first + 1).clamp_max_(x.shape[-1] - 1)
    left, right = (x.gather(2, place[:, None].expand_as(x)) for place in (first, second))
    return left + share * (right - left)
