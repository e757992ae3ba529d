"""Bytes: what a network's weights take on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import nn

from nervure.store.packed import save_weights

__all__ = ["stored_bytes"]


def stored_bytes(net: nn.Module) -> int:
    """Bytes of the weights' file as a run keeps it: packed where there are enough zeros.

    >>> net = nn.Sequential(nn.Linear(100, 100, bias=False)).requires_grad_(False)
    >>> dense = stored_bytes(net)
    >>> net[0].weight[10:] = 0
    >>> stored_bytes(net) < 0.15 * dense
    True
    """
    with tempfile.TemporaryDirectory(prefix="nervure-") as folder:
        file = Path(folder) / "weights.safetensors"
        save_weights(file, net.state_dict())
        return file.stat().st_size
