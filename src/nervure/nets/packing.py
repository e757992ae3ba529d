"""Weights with many zeros in few bytes: a bit for each place and the values that are not zero, where that is less.

A tensor ``NAME`` becomes ``NAME:bits`` (uint8, eight places a byte, the lowest bit first) and ``NAME:values``; one of
truth values becomes its bits alone. A file's metadata has the shapes. Everything comes back bit for bit: a negative
zero counts as a value, and so does each NaN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nervure.errors import InputError

__all__ = ["METADATA", "Packed", "pack", "restored", "unpack"]

METADATA = "packed"
_BITS, _VALUES = ":bits", ":values"
# What two more entries in the file's header take, beside the name.
_HEADER = 200
_WHOLE_NUMBERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Packed(NamedTuple):
    """Tensors as they are stored, and by name the shapes of those that are packed.

    >>> pack({"a": torch.zeros(100, 100)}).shapes
    {'a': [100, 100]}
    """

    tensors: dict[str, Tensor]
    shapes: dict[str, list[int]]


def pack(state: Mapping[str, Tensor]) -> Packed:
    """Pack each tensor that takes fewer bytes so; the others stay as they are.

    Parameters
    ----------
    state : mapping of str to tensor
        As ``state_dict`` gives it; not changed.

    Examples
    --------
    >>> weight = torch.zeros(100, 100)
    >>> weight[0, 0] = 3
    >>> packed = pack({"weight": weight, "bias": torch.ones(100)})
    >>> {name: one.nbytes for name, one in packed.tensors.items()}
    {'weight:bits': 1250, 'weight:values': 4, 'bias': 400}
    >>> bool((unpack(*packed)["weight"] == weight).all())
    True
    """
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in state.items():
        parts = None if {name + _BITS, name + _VALUES} & state.keys() else _parts(value)
        if parts is None or sum(one.nbytes for one in parts) + _HEADER + 3 * len(name) >= value.nbytes:
            tensors[name] = value
            continue
        shapes[name] = list(value.shape)
        tensors.update(zip((name + _BITS, name + _VALUES), parts, strict=False))
    return Packed(tensors, shapes)


def unpack(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors that :func:`pack` was given; what does not fit together is refused.

    >>> unpack({"a:bits": torch.tensor([5], dtype=torch.uint8), "a:values": torch.ones(2)}, {"a": [3]})
    {'a': tensor([1., 0., 1.])}
    """
    held = dict(tensors)
    found = {}
    for name, shape in shapes.items():
        bits, values = held.pop(name + _BITS, None), held.pop(name + _VALUES, None)
        if bits is None:
            raise InputError(f"{name!r}: its bits are missing")
        found[name] = _whole(name, shape, bits, values)
    return {**held, **found}


def restored(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of a file, packed or not, from what it holds and its metadata.

    >>> restored({"a:bits": torch.tensor([2], dtype=torch.uint8), "a:values": torch.ones(1)}, {"packed": '{"a": [2]}'})
    {'a': tensor([0., 1.])}
    """
    if METADATA not in metadata:
        return dict(tensors)
    shapes = json.loads(metadata[METADATA])
    if not isinstance(shapes, dict) or not all(isinstance(one, list) for one in shapes.values()):
        raise InputError("its list of packed tensors is none")
    return unpack(tensors, shapes)


def _parts(value: Tensor) -> tuple[Tensor, ...] | None:
    """Bits (n/8,) and values (non-zeros,) of a tensor, its bits alone for truth values; None for one that has none."""
    if value.layout != torch.strided or value.is_quantized or value.element_size() not in _WHOLE_NUMBERS:
        return None
    flat = value.detach().cpu().contiguous().flatten()
    if flat.dtype == torch.bool:
        return (_bits(flat),)
    there = flat.view(_WHOLE_NUMBERS[flat.element_size()]) != 0
    return _bits(there), flat.view(_WHOLE_NUMBERS[flat.element_size()])[there].view(flat.dtype)


def _bits(there: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(there.numpy(), bitorder="little"))


def _whole(name: str, shape: Sequence[int], bits: Tensor, values: Tensor | None) -> Tensor:
    if not all(type(side) is int and side >= 0 for side in shape):
        raise InputError(f"{name!r}: {list(shape)} is no shape")
    count = 1
    for side in shape:
        count *= side
    if bits.dtype != torch.uint8 or bits.shape != (-(-count // 8),):
        raise InputError(f"{name!r}: its bits are {bits.numel()} bytes; shape {list(shape)} needs {-(-count // 8)}")
    every = np.unpackbits(bits.numpy(), bitorder="little")
    if every[count:].any():
        raise InputError(f"{name!r}: bits beyond its {count} places are set")
    there = torch.from_numpy(every[:count].astype(bool))
    if values is None:
        return there.view(*shape)
    if values.ndim != 1 or len(values) != int(there.sum()) or values.element_size() not in _WHOLE_NUMBERS:
        raise InputError(f"{name!r}: {int(there.sum())} bits are set, and there are {values.numel()} values")
    kind = _WHOLE_NUMBERS[values.element_size()]
    flat = torch.zeros(count, dtype=kind)
    flat[there] = values.view(kind)
    return flat.view(values.dtype).view(*shape)
