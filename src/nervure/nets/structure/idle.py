"""Layers that a network does not call when it is followed, but may call in training, or on other samples."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from nervure.nets.seed import seeded
from nervure.nets.shadow import place_of
from nervure.nets.structure.twin import OPAQUE

__all__ = ["called_in_training", "idle"]


def idle(net: nn.Module, called: Collection[str], outputs: Sequence[Tensor]) -> tuple[str, ...]:
    """Layers with weights that were not called, and none of whose weights the outputs hang on.

    >>> net = nn.ModuleDict({"used": nn.Linear(2, 3), "spare": nn.Linear(2, 3)})
    >>> idle(net, ["used"], [net["used"](torch.ones(1, 2))])
    ('spare',)
    """
    heard = _reached(outputs)
    inside = tuple(f"{name}." for name in called)
    return tuple(
        name
        for name, module in net.named_modules()
        if (isinstance(module, OPAQUE) or not any(module.children()))
        and name not in called
        and not name.startswith(inside)
        and (own := {id(one) for one in module.parameters()})
        and not own & heard
    )


def _reached(outputs: Sequence[Tensor]) -> set[int]:
    """The ``id`` of each parameter that the outputs hang on."""
    found: set[int] = set()
    waiting = [one.grad_fn for one in outputs]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        fresh = {one for one, _ in node.next_functions} - seen
        seen |= fresh
        waiting.extend(fresh)
    return found


def called_in_training(net: nn.Module, inputs: Sequence[Tensor], names: Collection[str] = ()) -> set[str]:
    """Those of ``names`` that a copy of the network calls in training mode; what fails there is raised.

    >>> called_in_training(nn.Sequential(nn.Linear(2, 3)), [torch.ones(3, 2)], ["0"])
    {'0'}
    """
    twin = copy.deepcopy(net).train()
    found: set[str] = set()
    for name in names:
        twin.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: found.add(name))
    device, _ = place_of(net)
    with torch.no_grad(), seeded(0):
        twin(*(one.to(device) for one in inputs))
    return found
