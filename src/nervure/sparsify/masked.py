"""How a masked network is held: the stored weight whole, a mask beside it, and zeros in what the network uses.

The mask is a torch parametrization of ``weight``, so copies, weights on disk, optimizers and exports see one module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nervure.errors import InputError
from nervure.nets import digest
from nervure.nets.origin import Step
from nervure.nets.steps import derive
from nervure.nets.structure.copying import copied
from nervure.registry import nearest

__all__ = ["Masked", "bake", "masked", "masks_of", "rebuild", "structure", "unmasked"]

_STORED = re.compile(r"(^|\.)parametrizations\.weight\.original$")
_BESIDE = re.compile(r"(^|\.)parametrizations\.weight\.\d+\.mask$")


class Masked(nn.Module):
    """The parametrization: a weight with zeros where ``mask`` (of its shape, bool) is False.

    What is masked gets no gradient, so that only weight decay changes what is stored of it.

    >>> Masked(torch.tensor([True, False]))(torch.tensor([3.0, float("nan")]))
    tensor([3., 0.])
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask.detach().to(torch.bool).clone())

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the network uses."""
        return torch.where(self.mask, weight, 0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is stored when a weight is assigned: all of it."""
        return weight


def masked(net: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy of ``net`` that uses only the weights where ``masks`` are True.

    Parameters
    ----------
    net : Module
        It is not changed. What is masked in it already stays so; :func:`unmasked` first gives all weights back.
    masks : mapping of str to Tensor
        By layer, bool, of the weight's shape. Layers that share a weight share the mask of one of them.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 1))
    >>> thin = masked(net, {"0": torch.tensor([[True, False]])})
    >>> (thin[0].weight == 0).tolist(), bool((net[0].weight == 0).any()), list(thin.state_dict())[1]
    ([[False, True]], False, '0.parametrizations.weight.original')
    """
    new = copied(net)
    modules = dict(new.named_modules())
    for name, mask in masks.items():
        if name not in modules:
            raise InputError(f"unknown layer {name!r}; {nearest(name, tuple(filter(None, modules)))}")
        weight = _stored(modules[name], name)
        if mask.shape != weight.shape:
            raise InputError(
                f"layer {name!r}: a mask of shape {tuple(mask.shape)} does not fit its weight {tuple(weight.shape)}"
            )
    owners = {id(_stored(modules[name], name)): mask for name, mask in masks.items()}
    for module in modules.values():
        held = _held(module)
        if held is not None and id(held) in owners:
            _put(module, owners[id(held)])
    return derive(net, new, Step("mask", {"layers": _masked_layers(new)}))


def masks_of(net: nn.Module) -> dict[str, Tensor]:
    """The masks of a masked network by layer, bool; empty for any other. A shared weight counts once.

    >>> net = masked(nn.Sequential(nn.Linear(1, 2)), {"0": torch.tensor([[True], [False]])})
    >>> masks_of(net)
    {'0': tensor([[ True],
            [False]])}
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, module in net.named_modules():
        own = _own(module)
        if own is not None and id(_held(module)) not in seen:
            seen.add(id(_held(module)))
            found[name] = own.mask.detach().clone()
    return found


def bake(net: nn.Module) -> nn.Module:
    """A plain copy of a masked network whose zeros are permanent: it computes the same, with no mask beside.

    >>> net = masked(nn.Sequential(nn.Linear(2, 1)), {"0": torch.tensor([[True, False]])})
    >>> plain = bake(net)
    >>> list(plain.state_dict()), plain[0].weight[0, 1].item()
    (['0.weight', '0.bias'], 0.0)
    """
    return _without(net, stored=False)


def unmasked(net: nn.Module) -> nn.Module:
    """A plain copy of a masked network with the weights that it stored, as before it was masked.

    >>> net = nn.Sequential(nn.Linear(2, 1))
    >>> back = unmasked(masked(net, {"0": torch.tensor([[True, False]])}))
    >>> torch.equal(back[0].weight, net[0].weight)
    True
    """
    return _without(net, stored=True)


def structure(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights and buffers, of a masked network those of the plain one.

    >>> net = nn.Sequential(nn.Linear(2, 1))
    >>> structure(masked(net, {"0": torch.tensor([[True, False]])})) == structure(net)
    True
    """
    return {
        _STORED.sub(r"\1weight", name): shape
        for name, shape in digest.structure(net).items()
        if not _BESIDE.search(name)
    }


def rebuild(net: nn.Module, settings: Mapping[str, object]) -> nn.Module:
    """The structural step ``mask``: ``net`` itself with masks beside just these ``layers``, whole until weights come.

    >>> type(rebuild(nn.Sequential(nn.Linear(2, 1)), {"layers": ["0"]})[0]).__name__
    'ParametrizedLinear'
    """
    layers = settings["layers"]
    if not isinstance(layers, list):
        raise InputError("step 'mask': its 'layers' are no list")
    modules = dict(net.named_modules())
    for name in layers:
        if name not in modules:
            raise InputError(f"step 'mask' names the module {name!r}, which this network lacks")
        if _own(modules[name]) is None:
            _put(modules[name], torch.ones_like(_stored(modules[name], name), dtype=torch.bool))
    for name in set(_masked_layers(net)) - set(layers):
        _take(modules[name], stored=True)
    return net


def _own(module: nn.Module) -> Masked | None:
    """The mask beside a module's weight."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    last = _list_of(module)[-1]
    return last if isinstance(last, Masked) else None


def _list_of(module: nn.Module) -> parametrize.ParametrizationList:
    found = module.parametrizations
    assert isinstance(found, nn.ModuleDict)
    parts = found["weight"]
    assert isinstance(parts, parametrize.ParametrizationList)
    return parts


def _held(module: nn.Module) -> Tensor | None:
    """The parameter that a module stores as its weight, if it stores one."""
    if _own(module) is not None:
        return _list_of(module).original
    return module._parameters.get("weight")


def _stored(module: nn.Module, name: str) -> Tensor:
    held = _held(module)
    if held is None:
        raise InputError(
            f"layer {name!r} holds no weight as a parameter of its own, and cannot be masked; leave it out"
        )
    return held


def _put(module: nn.Module, mask: Tensor) -> None:
    own = _own(module)
    held = _held(module)
    assert held is not None
    mask = mask.detach().to(device=held.device, dtype=torch.bool)
    if own is not None:
        own.mask = own.mask & mask
    else:
        _own_class(module)
        parametrize.register_parametrization(module, "weight", Masked(mask), unsafe=True)


def _own_class(module: nn.Module) -> None:
    """Give a parametrized module a class of its own: a copy of it shares the class, whose properties change."""
    if parametrize.is_parametrized(module):
        kind = type(module)
        module.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))


def _take(module: nn.Module, *, stored: bool) -> None:
    _own_class(module)
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=not stored)
    # It is registered anew and so comes last; the order of parameters is part of what a network is.
    parameters = dict(module._parameters)
    module._parameters.clear()
    module._parameters.update({"weight": parameters.pop("weight"), **parameters})


def _without(net: nn.Module, *, stored: bool) -> nn.Module:
    new = copied(net)
    held = [module for module in new.modules() if _own(module) is not None]
    for module in held:
        _take(module, stored=stored)
    return derive(net, new, Step("mask", {"layers": []})) if held else new


def _masked_layers(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if _own(module) is not None]
