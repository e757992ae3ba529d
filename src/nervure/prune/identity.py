"""What tells one criterion from another: all it was made with, arrays among it by their values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import JsonValue
from torch import Tensor

from nervure.data.dataset import hash_arrays

__all__ = ["identity"]


def identity(value: object, depth: int = 4) -> JsonValue:
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
    kind = value if hasattr(value, "__qualname__") else type(value)
    held = {} if kind is value or not depth else getattr(value, "__dict__", {})
    public = {name: identity(one, depth - 1) for name, one in sorted(held.items()) if not name.startswith("_")}
    return [f"{kind.__module__}:{kind.__qualname__}", public]
