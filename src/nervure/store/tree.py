"""Nested dicts and lists of tensors and plain values in one safetensors file: no code runs on load."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nervure.errors import InputError, RunError
from nervure.store.atomic import replacing

__all__ = ["load_tree", "load_weights", "read", "save_tree", "save_weights"]

Tree = Any  # a nested value: dict with str keys | list | tuple | Tensor | str | int | float | bool | None

_TENSOR = "__tensor__"


def save_tree(path: Path | str, tree: Tree) -> None:
    """Write a nested value; tensors as they are, the rest as JSON in the file's header.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tree(f"{folder}/state.safetensors", {"epoch": 3, "m": [torch.ones(2)]})
    ...     load_tree(f"{folder}/state.safetensors")
    {'epoch': 3, 'm': [tensor([1., 1.])]}
    """
    tensors: dict[str, Tensor] = {}
    plain = _strip(tree, tensors)
    with replacing(path) as temporary:
        _write(tensors, temporary, {"tree": json.dumps(plain)})


def load_tree(path: Path | str) -> Tree:
    """Read what :func:`save_tree` wrote."""
    tensors, metadata = read(path)
    if "tree" not in metadata:
        raise RunError(f"{path}: no state that Nervure wrote")
    try:
        return _fill(json.loads(metadata["tree"]), tensors)
    except (KeyError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: the state does not fit its header ({error})") from error


def save_weights(path: Path | str, state: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a ``state_dict`` as plain safetensors, readable by any other program.

    Tensors that share memory are written once each: a loader fills them one by one.
    """
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with replacing(path) as temporary:
        _write(whole, temporary, metadata)


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a safetensors file."""
    return read(path)[0]


def _write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a file; what the system refuses becomes its own error again, which safetensors only tells in words."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/w.safetensors", {"a": torch.ones(2)}, {"made": "here"})
    ...     read(f"{folder}/w.safetensors")
    ({'a': tensor([1., 1.])}, {'made': 'here'})
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 (no iterator)
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: not a whole safetensors file ({error})") from error


def _strip(value: Tree, tensors: dict[str, Tensor]) -> Tree:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        if len(named := {str(key): one for key, one in value.items()}) < len(value):
            raise InputError(f"{list(value)}: two of these keys read the same, and only one could be kept")
        return {key: _strip(one, tensors) for key, one in named.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_strip(one, tensors) for one in value]
    raise InputError(
        f"a {type(value).__name__} cannot be kept; give tensors, numbers, text, and lists or dicts of them"
    )


def _fill(value: Tree, tensors: Mapping[str, Tensor]) -> Tree:
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: _fill(one, tensors) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, tensors) for one in value]
    return value
