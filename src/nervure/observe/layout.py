"""Where units and examples lie in what a module takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nervure.errors import InputError

__all__ = ["examples_first", "first_tensor", "laid_out_as", "replaced", "steps", "time_first", "unit_axis"]

TRANSFORMERS = (
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
LAST_AXIS = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.RNNBase,
    nn.MultiheadAttention,
    *TRANSFORMERS,
)


def unit_axis(module: nn.Module) -> int:
    """The axis of units: the last for modules that act on features, 1 for all others.

    >>> unit_axis(nn.Linear(2, 3)), unit_axis(nn.Conv2d(2, 3, 1))
    (-1, 1)
    """
    return -1 if isinstance(module, LAST_AXIS) else 1


def laid_out_as(net: nn.Module, name: str) -> nn.Module:
    """The module that says how values lie at ``name``: the nearest transformer around it, or else itself.

    >>> net = nn.Sequential(nn.TransformerEncoderLayer(4, 2), nn.Linear(4, 2))
    >>> [type(laid_out_as(net, name)).__name__ for name in ("0.linear1", "1")]
    ['TransformerEncoderLayer', 'Linear']
    """
    path = name.split(".")
    around = (net.get_submodule(".".join(path[:length])) for length in range(len(path), 0, -1))
    return next((one for one in around if isinstance(one, TRANSFORMERS)), net.get_submodule(name))


def first_tensor(value: object, where: str) -> Tensor:
    """The tensor itself, or the first of a tuple, list or mapping: an LSTM's output, not its state.

    >>> first_tensor((torch.ones(2), None), "lstm")
    tensor([1., 1.])
    """
    while not isinstance(value, Tensor):
        if isinstance(value, nn.utils.rnn.PackedSequence):
            raise InputError(f"layer {where!r} works on packed sequences; observe it on padded ones")
        if isinstance(value, tuple | list) and value:
            value = value[0]
        elif isinstance(value, Mapping) and value:
            value = next(iter(value.values()))
        else:
            raise InputError(f"layer {where!r} has {type(value).__name__} there, which holds no tensor to observe")
    return value


def replaced(value: Any, new: Tensor) -> Any:
    """``value`` with its first tensor replaced, in the same structure.

    >>> replaced((torch.ones(1), "state"), torch.zeros(1))
    (tensor([0.]), 'state')
    """
    if isinstance(value, Tensor):
        return new
    if isinstance(value, Mapping):
        first = next(iter(value))
        # A mapping with fields (a model's output class) keeps its type when it is given by keywords.
        return type(value)(**{**value, first: replaced(value[first], new)})
    items = [replaced(value[0], new), *value[1:]]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def time_first(value: Tensor, module: nn.Module, axis: int, examples: int | None = None) -> bool | None:
    """Whether ``value`` is (time, n, units): as the module says, or as the number of ``examples`` tells.

    A transformer's layers say it for it. Of other modules that act on features, the axis with as many entries as the
    batch has examples is theirs; None where both have.

    >>> linear = nn.Linear(4, 4)
    >>> time_first(torch.zeros(10, 2, 4), linear, -1, examples=2), time_first(torch.zeros(2, 2, 4), linear, -1, 2)
    (True, None)
    """
    if value.ndim != 3:
        return False
    spoken_for = module.modules() if isinstance(module, TRANSFORMERS) else (module,)
    for one in spoken_for:
        if isinstance(said := getattr(one, "batch_first", None), bool):
            return not said
    first, second = (length == examples for length in value.shape[:2])
    if axis % 3 != 2 or not second:
        return False
    return None if first else True


def steps(rows: int, examples: int) -> int:
    """Rows of each example: more than one where a network folds time into the batch.

    >>> steps(12, 4)
    3
    """
    if rows % examples:
        raise InputError(
            f"{rows} rows for {examples} examples, which cannot be told apart; give a network that keeps examples "
            "on the first axis (batch_first=True), or leave the layer out"
        )
    return rows // examples


def examples_first(value: Tensor, module: nn.Module, axis: int, where: str, swapped: bool | None = None) -> Tensor:
    """``value`` as (n, units, ...): examples to the front where time lies there, units to axis 1.

    Time lies there if ``swapped``; by default if the module says so.

    >>> lstm = nn.LSTM(4, 6)
    >>> examples_first(torch.zeros(10, 2, 6), lstm, unit_axis(lstm), "lstm").shape
    torch.Size([2, 6, 10])
    """
    if value.ndim < 2:
        shape = tuple(value.shape)
        raise InputError(f"layer {where!r} has shape {shape} there; observation needs (examples, units, ...)")
    if value.is_complex():
        raise InputError(f"layer {where!r} is complex there; observe its parts or its magnitude instead")
    if time_first(value, module, axis) if swapped is None else swapped:
        value = value.transpose(0, 1)
    if not -value.ndim <= axis < value.ndim or axis % value.ndim == 0:
        raise InputError(f"layer {where!r}: unit axis {axis} does not fit shape {tuple(value.shape)}")
    return value if axis % value.ndim == 1 else value.movedim(axis, 1)


def floating(value: Tensor, where: str) -> Tensor:
    """``value``, where a gradient can reach it.

    >>> floating(torch.ones(1), "relu")
    tensor([1.])
    """
    if not torch.is_floating_point(value):
        raise InputError(f"layer {where!r} holds {value.dtype} there, which has no gradient")
    return value
