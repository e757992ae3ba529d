"""Naming the layer in which numbers stopped being finite."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.objectives.call import call

__all__ = ["broken_value", "first_broken"]


def broken_value(net: nn.Module) -> str:
    """Which parameter or buffer of ``net`` is not finite, in words; nothing if all are.

    What is not trained may hold infinity on purpose, as a mask does; no value may be NaN.

    >>> net = nn.BatchNorm1d(2)
    >>> broken_value(net)
    ''
    >>> net.running_var[0] = float("nan")
    >>> broken_value(net)
    "buffer 'running_var' is not finite"
    """
    for name, parameter in net.named_parameters():
        if not _sound(parameter, trained=parameter.requires_grad):
            return f"parameter {name!r} is not finite"
    for name, buffer in net.named_buffers():
        if not _sound(buffer, trained=False):
            return f"buffer {name!r} is not finite"
    return ""


def _sound(value: Tensor, *, trained: bool) -> bool:
    return bool(torch.isfinite(value).all()) if trained else not bool(torch.isnan(value).any())


def first_broken(net: nn.Module, batch: Batch, alone: bool = False) -> str:
    """Which part of ``net`` first turned non-finite: a parameter or buffer, or a module's output on ``batch``.

    Where one process of several looks ``alone``, layers are in evaluation mode meanwhile: they then wait for no other
    process, and take a batch of one sample.

    >>> net = nn.Sequential(nn.Linear(2, 2))
    >>> _ = torch.nn.init.constant_(net[0].weight, float("nan"))
    >>> first_broken(net, Batch(torch.ones(1, 2), None, torch.arange(1)))
    "parameter '0.weight' is not finite"
    """
    if not bool(torch.isfinite(batch.x).all()):
        return "the input is not finite"
    if broken := broken_value(net):
        return broken
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, out: object) -> None:
            if not found and isinstance(out, Tensor) and not bool(torch.isfinite(out).all()):
                found.append(name)

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in net.named_modules() if name]
    modes = [(module, module.training) for module in net.modules()]
    try:
        if alone:
            net.eval()
        with torch.no_grad():
            call(net, batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return f"the output of layer {found[0]!r} is not finite" if found else "the loss is not finite, every layer is"
