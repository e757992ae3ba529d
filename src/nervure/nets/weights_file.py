"""Weights of a user's own, read from a file and checked before they are taken."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.packing import restored

__all__ = ["load_weights"]

_STORED, _MASK = "parametrizations.weight.original", "parametrizations.weight.0.mask"


def load_weights(net: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Put the weights of a file into ``net`` itself; names and shapes must be the same on both sides.

    ``.safetensors`` holds no code, and may be packed; ``.pt``, ``.pth`` and ``.bin`` are read with
    ``weights_only=True``, a ``"state_dict"`` inside them too. Of weights with masks beside them those count that the
    masks leave, zeros for the others.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> net = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, f"{folder}/w.safetensors")
    ...     load_weights(net, f"{folder}/w.safetensors").weight.tolist()
    [[1.0, 1.0]]
    """
    path = Path(path)
    found, here = _read(path), net.state_dict()
    if found.keys() != here.keys():
        found = _used(found)
    differs = [
        f"{name!r} is {tuple(found[name].shape)} in the file and {tuple(value.shape)} in the network"
        for name, value in here.items()
        if name in found and found[name].shape != value.shape
    ]
    missing = [name for name in here if name not in found]
    beyond = [name for name in found if name not in here]
    problems = [
        *differs[:1],
        *([f"missing: {_some(missing)}"] if missing else []),
        *([f"not in the network: {_some(beyond)}"] if beyond else []),
    ]
    if problems:
        raise InputError(f"{path}: these weights do not fit the network; {'; '.join(problems)}")
    for name, value in found.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f"{path}: {name!r} holds NaN or infinite values; give weights that are finite")
    net.load_state_dict(found)
    return net


def _used(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as a network uses them: a stored weight and the mask beside it as one."""
    masks = {name.removesuffix(_MASK): value for name, value in found.items() if name.endswith(_MASK)}
    used = {}
    for name, value in found.items():
        module = name.removesuffix(_STORED)
        if module != name and module in masks and masks[module].shape == value.shape:
            used[f"{module}weight"] = value.masked_fill(~masks[module].bool(), 0)
        elif name.removesuffix(_MASK) not in masks:
            used[name] = value
    return used


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a .safetensors, .pt or .pth file of weights")
    if path.suffix not in (".safetensors", ".pt", ".pth", ".bin"):
        raise InputError(f"{path}: unknown kind of file; give weights as .safetensors, .pt or .pth")
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
                return restored(held, file.metadata() or {})
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds more than weights, and is not run; save net.state_dict() as .safetensors"
        ) from error
    except Exception as error:  # safetensors and torch raise many kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be read as weights ({reason})") from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: holds no plain mapping of names to tensors; save net.state_dict()")
    return found
