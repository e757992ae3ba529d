"""What tells one criterion from another: all it was made with, arrays among it by their values."""

from __future__ import annotations

import functools
import hashlib
import os
import types
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import JsonValue
from torch import Tensor, nn

from nervure.data.dataset import hash_arrays
from nervure.nets.digest import weights_digest

__all__ = ["identity"]


def identity(value: object, depth: int = 12) -> JsonValue:
    """``value`` as JSON data, the same in each process: objects by kind and public attributes, arrays by a digest.

    >>> from nervure.features.masks import Given, Otsu
    >>> identity(Otsu())
    ['nervure.features.masks:Otsu', {'polarity': 'inside'}]
    >>> identity(Given(np.zeros((1, 2)))) == identity(Given(np.ones((1, 2))))
    False
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return hash_arrays(np.asarray(value))
    if isinstance(value, Mapping):
        return {str(key): identity(one, depth - 1) for key, one in value.items()} if depth else {}
    if isinstance(value, Sequence | set | frozenset):
        each = [identity(one, depth - 1) for one in value] if depth else []
        return each if isinstance(value, Sequence) else sorted(each, key=repr)
    if isinstance(value, nn.Module):
        return [f"{type(value).__module__}:{type(value).__qualname__}", weights_digest(value, None)]
    if isinstance(value, functools.partial):
        return ["partial", *(identity(one, depth - 1) for one in (value.func, value.args, value.keywords))]
    if isinstance(value, types.FunctionType):
        plain = [one for one in value.__code__.co_consts if not isinstance(one, types.CodeType)]
        digest = hashlib.sha256(value.__code__.co_code + repr(plain).encode()).hexdigest()[:16]
        return [f"{value.__module__}:{value.__qualname__}", digest]
    kind = value if hasattr(value, "__qualname__") else type(value)
    held = {} if kind is value or not depth else _attributes(value)
    public = {name: identity(one, depth - 1) for name, one in sorted(held.items()) if not name.startswith("_")}
    return [f"{kind.__module__}:{kind.__qualname__}", public]


def _attributes(value: object) -> dict[str, object]:
    """What an object holds, in a dictionary of its own or in slots."""
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})
