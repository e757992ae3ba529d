"""Weights on disk, packed where they have many zeros: see :mod:`nervure.nets.packing`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nervure.errors import InputError, RunError
from nervure.nets.packing import METADATA, pack, restored
from nervure.store import tree

__all__ = ["check_weights", "load_weights", "save_weights"]

# A packed file opens in fewer programs, so it must be worth it.
_WORTH = 0.9


def save_weights(path: Path | str, state: Mapping[str, Tensor]) -> None:
    """Write a ``state_dict`` as safetensors: packed if that saves a tenth, plain otherwise.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/w.safetensors", {"a": torch.zeros(1000)})
    ...     size, back = Path(f"{folder}/w.safetensors").stat().st_size, load_weights(f"{folder}/w.safetensors")
    >>> size < 500, back["a"].shape
    (True, torch.Size([1000]))
    """
    check_weights(state)
    packed = pack({name: value.detach().cpu() for name, value in state.items()})
    before = sum(value.nbytes for value in state.values())
    if packed.shapes and sum(one.nbytes for one in packed.tensors.values()) <= _WORTH * before:
        tree.save_weights(path, packed.tensors, {METADATA: json.dumps(packed.shapes)})
    else:
        tree.save_weights(path, state)


def check_weights(state: Mapping[str, object]) -> None:
    """Refuse what a file of weights cannot hold, such as what a module's ``get_extra_state`` gives.

    >>> check_weights({"a": [1]})
    Traceback (most recent call last):
    nervure.errors.InputError: 'a' of the network's state is a list; a file holds dense tensors alone
    """
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.layout is not torch.strided:
            what = f"of layout {value.layout}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise InputError(f"{name!r} of the network's state is {what}; a file holds dense tensors alone")


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Read what :func:`save_weights` wrote, or any plain safetensors file."""
    tensors, metadata = tree.read(path)
    try:
        return restored(tensors, metadata)
    except ValueError as error:
        raise RunError(f"{path}: damaged: {error}") from error
