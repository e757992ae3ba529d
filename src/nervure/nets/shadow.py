"""Run a network without touching it: a copy without data first, a real copy where that is not enough."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.seed import seeded
from nervure.nets.structure.copying import copied

__all__ = ["on_meta", "place_of", "try_out"]

T = TypeVar("T")


def on_meta(net: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have shapes but no data; the weights are never copied.

    >>> on_meta(nn.Linear(3, 2)).weight.device.type
    'meta'
    """

    def empty(one: Tensor) -> Tensor:
        return torch.empty_like(one.detach(), device="meta")

    return copied(net, lambda one: nn.Parameter(empty(one), requires_grad=one.requires_grad), empty)


def place_of(net: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a network's weights are, and the type of number that it reads.

    >>> place_of(nn.Linear(3, 2))
    (device(type='cpu'), torch.float32)
    """
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.get_default_dtype()


def try_out(net: nn.Module, inputs: Sequence[Tensor], use: Callable[[nn.Module, Sequence[Tensor]], T]) -> T:
    """``use(copy, inputs)`` in evaluation mode without gradients, on a copy without data if it can run there.

    Networks that look at values, or mix devices, run as a real copy. What fails there too becomes one
    line; no generator moves.
    """
    with torch.no_grad(), seeded(0):
        try:
            return use(on_meta(net).eval(), [one.to("meta") for one in inputs])
        except InputError:
            raise
        except Exception:  # whatever a stranger's forward raises without data, the real run decides
            device, _ = place_of(net)
            try:
                return use(copy.deepcopy(net).eval(), [one.to(device) for one in inputs])
            except InputError:
                raise
            except Exception as error:
                shapes = ", ".join(str(tuple(one.shape)) for one in inputs)
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"{type(net).__name__} does not run on input of shape {shapes}: {reason}") from error
