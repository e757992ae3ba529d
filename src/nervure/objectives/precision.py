"""At least single precision: what half precision would spoil in a loss is computed in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["at_least_single", "without_autocast"]


def at_least_single(tensor: Tensor) -> Tensor:
    """The tensor itself in float32 or float64; half precision (and integers) as float32.

    >>> at_least_single(torch.ones(1, dtype=torch.bfloat16)).dtype, at_least_single(torch.ones(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.to(torch.float32)


def without_autocast(like: Tensor) -> AbstractContextManager[object]:
    """A context in which matrix products keep the precision of what they are given.

    >>> a = torch.ones(2, 2)
    >>> with torch.autocast("cpu", dtype=torch.bfloat16), without_autocast(a):
    ...     (a @ a).dtype
    torch.float32
    """
    kind = like.device.type
    # an exported graph should hold no context where none is needed, and shapes alone know no autocast
    casts = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if casts else nullcontext()
