"""Whether a network can be worked with at all: a module of Python whose weights are there."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from nervure.errors import InputError

__all__ = ["refuse_closed", "refuse_compiled"]


def refuse_closed(net: nn.Module) -> None:
    """Refuse what can be called but not looked into.

    >>> refuse_closed(nn.LazyLinear(1))
    Traceback (most recent call last):
    nervure.errors.InputError: LazyLinear has weights without a shape, 'weight'; call it on a sample first
    """
    kind = type(net).__name__
    if not isinstance(net, nn.Module):
        raise InputError(f"{kind} is no network; give a torch.nn.Module")
    for name, module in net.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            what = f"{name!r} of {kind}" if name else kind
            raise InputError(
                f"{what} is a script, whose layers cannot be reached; give the module that it was made from"
            )
    for name, one in (*net.named_parameters(), *net.named_buffers()):
        if is_lazy(one):
            raise InputError(f"{kind} has weights without a shape, {name!r}; call it on a sample first")


def refuse_compiled(net: nn.Module) -> None:
    """Refuse, beside what is closed, what ``torch.compile`` gave: a copy of it does not run, and cannot be cut.

    >>> refuse_compiled(nn.Linear(2, 1))
    """
    refuse_closed(net)
    if hasattr(net, "_orig_mod"):
        raise InputError(
            f"{type(net).__name__} is compiled; give the network itself, net._orig_mod, and compile what comes of it"
        )
