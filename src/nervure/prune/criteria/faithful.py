"""Layers that do something else than their weights say, by a forward of their own or a hook.

What follows from weights and inputs alone, as an estimate of a kernel or the contribution of a unit, holds for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.nets.seed import seeded
from nervure.objectives.call import call
from nervure.observe.borrowed import borrowed
from nervure.prune.criteria.seen import example_of

__all__ = ["unfaithful"]

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def unfaithful(net: nn.Module, batches: Iterable[Batch], layers: Sequence[str]) -> set[str]:
    """Those of ``layers``, linear or convolutions, whose outputs are not ``W patch + b`` by the module's own numbers.

    A layer with torch's own forward and no hooks is not doubted; only where one is, ``net`` evaluates two examples.

    >>> net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    >>> _ = net[1].register_forward_hook(lambda module, args, out: 2 * out + 1)
    >>> unfaithful(net, [Batch(torch.ones(2, 1), None, torch.arange(2))], ["0", "1"])
    {'1'}
    """
    doubted = [name for name in layers if _doubted(net.get_submodule(name))]
    found: set[str] = set()
    if not doubted:
        return found

    def after(name: str) -> Callable[..., None]:
        def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
            if not _as_said(module, args, kwargs, out):
                found.add(name)

        return look

    with ExitStack() as stack:
        there = stack.enter_context(borrowed(net))
        stack.enter_context(torch.no_grad())
        for name in doubted:
            handle = net.get_submodule(name).register_forward_hook(after(name), with_kwargs=True)
            stack.callback(handle.remove)
        with seeded(0):
            call(net, example_of(batches).to(there))
    return found


def _own(module: nn.Module) -> Callable[..., Tensor]:
    return next(kind.forward for kind in KINDS if isinstance(module, kind))


def _doubted(module: nn.Module) -> bool:
    return type(module).forward is not _own(module) or "forward" in vars(module) or bool(module._forward_hooks)


def _as_said(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> bool:
    try:
        said = _own(module)(module, *args, **kwargs)
    except Exception:  # such as the sizes that a forward of one's own changes first
        return False
    if not isinstance(out, Tensor) or out.shape != said.shape:
        return False
    scale = float(said.abs().max()) if said.numel() else 0.0
    return torch.allclose(out, said, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)
