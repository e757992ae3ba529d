"""Whether two networks are of one structure, and whether their weights are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nervure.errors import InputError

__all__ = ["refuse_other", "structure", "weights_digest"]


def structure(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights and buffers.

    >>> structure(nn.Linear(2, 3))
    {'weight': (3, 2), 'bias': (3,)}
    """
    return {name: tuple(value.shape) for name, value in net.state_dict().items() if isinstance(value, Tensor)}


def refuse_other(what: str, mine: Mapping[str, tuple[int, ...]], now: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a network whose structure is ``now`` for ``what`` was made for ``mine``, naming the first difference.

    >>> refuse_other("plan", {"weight": (3, 2)}, {"weight": (3, 4)})
    Traceback (most recent call last):
    nervure.errors.InputError: this plan is for another network: 'weight' has shape (3, 2) in it, and here has \
shape (3, 4); plan anew
    """
    for name in (*mine, *now):
        if mine.get(name) != now.get(name):
            was, found = (f"has shape {one[name]}" if name in one else "is not there" for one in (mine, now))
            raise InputError(f"this {what} is for another network: {name!r} {was} in it, and here {found}; plan anew")


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
