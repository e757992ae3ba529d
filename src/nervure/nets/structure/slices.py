"""Which tensors and numbers of a module change when units go: the one table that cutting and counting share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrize

__all__ = [
    "OWN_WEIGHTS",
    "Effects",
    "Kind",
    "Unsupported",
    "effects",
    "narrow",
    "narrow_parameter",
    "replace",
]

Kind = Literal["out", "in", "through", "parameter"]
"""The side of a module that units touch: what it gives, what it reads, both at once, or a bare parameter."""


OWN_WEIGHTS = (_ConvNd, nn.Linear, nn.Bilinear, nn.RNNBase, nn.MultiheadAttention, nn.Embedding)
"""Modules that make new units of those they read."""


class Unsupported(Exception):
    """Units of this module cannot be cut; the message says why."""


@dataclass(frozen=True)
class Effects:
    """What losing places on one side changes: dimensions of tensors, and the numbers that a module keeps.

    ``blocks`` is the number of equal blocks of places that each lose the same; ``divide`` says that the tensors'
    dimension holds the places of one block.
    """

    tensors: tuple[tuple[str, int], ...]
    sizes: tuple[str, ...] = ()
    blocks: int = 1
    divide: bool = False


def effects(module: nn.Module, kind: Kind) -> Effects:
    """What losing units on one side of ``module`` changes.

    >>> effects(nn.Conv2d(3, 8, 3), "in")
    Effects(tensors=(('weight', 1),), sizes=('in_channels',), blocks=1, divide=False)
    """
    if parametrize.is_parametrized(module):
        raise Unsupported(
            "its weights are computed from others; make them permanent first: nervure.sparsify.bake does for masks, "
            "torch.nn.utils.parametrize.remove_parametrizations for others"
        )
    known = _known(module, kind)
    held = {*module._parameters, *module._buffers}
    # A subclass, or weight normalisation of the old kind, may hold more than we know how to cut.
    if known.tensors and not isinstance(module, nn.RNNBase) and held - {*_OWN, *(name for name, _ in known.tensors)}:
        raise Unsupported(f"{type(module).__name__} holds {min(held - _OWN)!r}, which cutting does not know")
    there = {name for name in held if getattr(module, name) is not None}
    return Effects(tuple(one for one in known.tensors if one[0] in there), known.sizes, known.blocks, known.divide)


_OWN = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def _known(module: nn.Module, kind: Kind) -> Effects:
    if isinstance(module, _ConvNd):
        return _convolution(module, kind)
    if isinstance(module, nn.Linear) and kind != "through":
        return _linear(kind)
    if isinstance(module, _BatchNorm | _InstanceNorm):
        return _vectors(("weight", "bias", "running_mean", "running_var"), "num_features")
    if isinstance(module, nn.GroupNorm):
        return Effects((("weight", 0), ("bias", 0)), ("num_channels",), blocks=module.num_groups)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        if len(module.normalized_shape) != 1:
            raise Unsupported("it normalises over positions as well as units")
        return _vectors(("weight", "bias"), "normalized_shape")
    if isinstance(module, nn.PReLU):
        return Effects(()) if module.num_parameters == 1 else _vectors(("weight",), "num_parameters")
    if isinstance(module, nn.Embedding):
        return Effects((("weight", 1),), ("embedding_dim",))
    if isinstance(module, nn.RNNBase) and kind == "in":
        names = [name for name in module._parameters if name.startswith("weight_ih_l0")]
        return Effects(tuple((name, 1) for name in names), ("input_size",))
    raise Unsupported(f"units of {type(module).__name__} cannot be cut")


def _vectors(names: tuple[str, ...], size: str) -> Effects:
    return Effects(tuple((name, 0) for name in names), (size,))


def _linear(kind: Kind) -> Effects:
    if kind == "out":
        return Effects((("weight", 0), ("bias", 0)), ("out_features",))
    return Effects((("weight", 1),), ("in_features",))


def _convolution(module: _ConvNd, kind: Kind) -> Effects:
    if kind == "through":
        if not module.groups == module.in_channels == module.out_channels:
            raise Unsupported("it is depthwise with several outputs for each input")
        return Effects((("weight", 0), ("bias", 0)), ("in_channels", "out_channels", "groups"))
    if module.transposed and module.groups > 1:
        raise Unsupported("it is a grouped transposed convolution")
    axis = int(module.transposed) if kind == "out" else int(not module.transposed)
    if kind == "out":
        return Effects((("weight", axis), ("bias", 0)), ("out_channels",), blocks=module.groups)
    return Effects((("weight", axis),), ("in_channels",), blocks=module.groups, divide=module.groups > 1)


def narrow(module: nn.Module, kind: Kind, keep: Tensor) -> None:
    """Keep only the places ``keep`` (int64, ascending) on one side of ``module``, in place.

    >>> layer = nn.Linear(4, 3)
    >>> narrow(layer, "in", torch.tensor([0, 2]))
    >>> layer
    Linear(in_features=2, out_features=3, bias=True)
    """
    change = effects(module, kind)
    for name, axis in change.tensors:
        old = getattr(module, name)
        if change.divide:
            replace(module, name, _by_block(old.detach(), axis, change.blocks, keep))
        else:
            replace(module, name, _along(old.detach(), axis, keep))
    for name in change.sizes:
        was = getattr(module, name)
        setattr(module, name, (len(keep),) if isinstance(was, tuple) else len(keep))
    if isinstance(module, nn.RNNBase):
        module.flatten_parameters()


def _by_block(weight: Tensor, axis: int, blocks: int, keep: Tensor) -> Tensor:
    """Inputs of a grouped convolution: each block of outputs reads a block of places, and each loses its own."""
    width = weight.shape[axis]
    local = keep.to(weight.device).view(blocks, -1) % width
    return torch.cat([_along(part, axis, own) for part, own in zip(weight.chunk(blocks), local, strict=True)])


def _along(tensor: Tensor, axis: int, keep: Tensor) -> Tensor:
    return tensor.index_select(axis, keep.to(tensor.device))


def replace(owner: nn.Module, name: str, value: Tensor) -> None:
    """Put ``value`` in the place of a parameter or buffer; a parameter stays one, as trainable as it was.

    >>> layer = nn.Linear(2, 2)
    >>> replace(layer, "bias", torch.zeros(1))
    >>> layer.bias
    Parameter containing:
    tensor([0.], requires_grad=True)
    """
    old = getattr(owner, name)
    if isinstance(old, nn.Parameter):
        setattr(owner, name, nn.Parameter(value.contiguous(), requires_grad=old.requires_grad))
    else:
        setattr(owner, name, value.contiguous())


def narrow_parameter(net: nn.Module, name: str, axis: int, keep: Tensor) -> None:
    """Keep only ``keep`` along ``axis`` of a parameter that belongs to no layer of a known kind."""
    path, _, leaf = name.rpartition(".")
    owner = net.get_submodule(path)
    old = getattr(owner, leaf)
    replace(owner, leaf, _along(old.detach(), axis, keep))
