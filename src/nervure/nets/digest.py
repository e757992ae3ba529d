"""Digests of weights: whether two networks of one structure are the same."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

__all__ = ["weights_digest"]


def weights_digest(net: nn.Module, values: int | None = 64) -> str:
    """A digest of up to ``values`` values of each tensor, evenly spread, or of all for None: the same anywhere.

    >>> weights_digest(nn.Linear(2, 2)) == weights_digest(nn.Linear(2, 2))
    False
    """
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        if not isinstance(value, Tensor) or value.device.type == "meta":
            continue
        flat = value.detach().flatten()
        some = flat if values is None else flat[:: max(1, -(-len(flat) // values))]
        # 0.0 is added because -0.0 is the same weight, and a packed file does not keep its sign.
        digest.update(name.encode() + (some.to(device="cpu", dtype=torch.float64) + 0.0).numpy().tobytes())
    return digest.hexdigest()
