"""Calling a network on a batch: with the mask where the network takes one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError

__all__ = ["answer", "call", "first_tensor", "takes_mask"]

_TAKES_MASK: dict[type[nn.Module], bool] = {}


def call(net: nn.Module, batch: Batch) -> Tensor:
    """The network's output for a batch, of several the first tensor; see :func:`answer`.

    >>> import torch
    >>> batch = Batch(torch.ones(2, 3), None, torch.arange(2))
    >>> call(nn.Identity(), batch).shape
    torch.Size([2, 3])
    """
    return first_tensor(answer(net, batch))


def answer(net: nn.Module, batch: Batch) -> object:
    """All that the network gives for a batch; unequal lengths reach networks whose ``forward`` takes ``mask``.

    A network that reads several tensors, and weights of another type of number than the batch, are named where they
    make it fail.

    >>> import torch
    >>> batch = Batch(torch.ones(2, 3), None, torch.arange(2), torch.ones(2, 3, dtype=torch.bool))
    >>> answer(nn.Identity(), batch).shape
    torch.Size([2, 3])
    """
    try:
        if batch.mask is not None and takes_mask(net):
            return net(batch.x, mask=batch.mask)
        return net(batch.x)
    except TypeError as error:
        if (needed := _needed(net, batch)) < 2:
            raise
        raise InputError(f"{type(net).__name__} reads {needed} tensors, and a batch of samples is one") from error
    except RuntimeError as error:
        if (said := _other_numbers(net, batch.x)) is None:
            raise
        raise InputError(said) from error


def _needed(net: nn.Module, batch: Batch) -> int:
    """How many tensors the network's ``forward`` must be given, but for the mask of a batch that has one."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        one.kind in plain and one.default is one.empty and (name != "mask" or batch.mask is None)
        for name, one in inspect.signature(net.forward).parameters.items()
    )


def _other_numbers(net: nn.Module, x: Tensor) -> str | None:
    """What to say of the first weights of another type of floating-point number than samples (n, ...), if any."""
    for name, one in net.named_parameters():
        if one.is_floating_point() and x.is_floating_point() and one.dtype != x.dtype:
            mine, theirs = (str(kind).removeprefix("torch.") for kind in (one.dtype, x.dtype))
            return f"{name!r} of {type(net).__name__} is {mine}, and samples are {theirs}; call .float() on a copy"
    return None


def first_tensor(out: object) -> Tensor:
    """What a network gave, or the first tensor of the tuple, list or mapping that it gave.

    >>> import torch
    >>> first_tensor({"loss": None, "logits": torch.ones(2)}).tolist()
    [1.0, 1.0]
    """
    if isinstance(out, Tensor):
        return out
    parts = out.values() if isinstance(out, Mapping) else out if isinstance(out, tuple | list) else ()
    for part in parts:
        if isinstance(part, Tensor | tuple | list | Mapping):
            return first_tensor(part)
    raise InputError(f"the network gives {type(out).__name__}, in which there is no tensor")


def takes_mask(net: nn.Module) -> bool:
    """Whether the network's ``forward`` has an argument named ``mask``."""
    kind = type(net)
    if kind not in _TAKES_MASK:
        _TAKES_MASK[kind] = "mask" in inspect.signature(kind.forward).parameters
    return _TAKES_MASK[kind]
