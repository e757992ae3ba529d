"""Running a network as far as a layer, and handing on what the layer reads or gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.seed import seeded
from nervure.objectives.call import call
from nervure.observe.borrowed import borrowed
from nervure.observe.layout import TRANSFORMERS, examples_first, first_tensor, laid_out_as, time_first, unit_axis

__all__ = ["visit"]


class _Reached(BaseException):
    """Nothing further is wanted of this batch; no network's own ``except Exception`` may catch it."""


def visit(
    net: nn.Module,
    batches: Iterable[Batch],
    calls: Mapping[str, int | None],
    take: Callable[[str, Tensor], None],
    *,
    side: Literal["input", "output"] = "output",
    device: torch.device | str | None = None,
) -> set[str]:
    """Evaluate ``net`` on each batch, and give ``take`` what passes the layers, laid out as (n, units, ...).

    Parameters
    ----------
    calls : mapping of layer to int or None
        How often each layer is called in one pass: with the last of these calls the batch ends, and what lies
        behind is not computed. None lets it run to its end.
    take : callable
        ``take(layer, value)``; the value may be overwritten afterwards.

    Returns
    -------
    set of str
        Layers where n was not the number of samples, as where time is folded into it, or might be another axis.

    >>> net = nn.Sequential(nn.ReLU(), nn.Linear(1, 1))
    >>> batch = Batch(torch.tensor([[-2.0]]), None, torch.arange(1))
    >>> visit(net, [batch], {"1": 1}, lambda layer, value: print(layer, value), side="input")
    1 tensor([[0.]])
    set()
    """
    left: dict[str, int] = {}
    samples = 0
    unclear: set[str] = set()
    around = {name: laid_out_as(net, name) for name in calls}
    counted = {name: number for name, number in calls.items() if number is not None}

    def arrived(name: str, value: object) -> None:
        first, lies = first_tensor(value, name), around[name]
        swapped = time_first(first, lies, unit_axis(lies), samples)
        laid = examples_first(first, lies, unit_axis(lies), name, swapped or False)
        # An order that was inferred from the number of samples may be another where they come in other numbers.
        told = lies.modules() if isinstance(lies, TRANSFORMERS) else (lies,)
        guessed = swapped and not any(isinstance(getattr(one, "batch_first", None), bool) for one in told)
        if swapped is None or guessed or len(laid) != samples:
            unclear.add(name)
        take(name, laid)
        if len(counted) == len(calls):
            left[name] -= 1
            if not any(left.values()):
                raise _Reached

    def before(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            arrived(name, args[0] if args else kwargs)

        return hook

    def after(name: str) -> Callable[..., None]:
        return lambda module, args, output: arrived(name, output)

    with ExitStack() as stack:
        there = stack.enter_context(borrowed(net, device))
        stack.enter_context(torch.no_grad())
        for name in calls:
            module = net.get_submodule(name)
            handle = (
                module.register_forward_pre_hook(before(name), with_kwargs=True)
                if side == "input"
                else module.register_forward_hook(after(name))
            )
            stack.callback(handle.remove)
        for batch in batches:
            left, samples = dict(counted), len(batch.x)
            with seeded(0):
                try:
                    call(net, batch.to(there))
                except _Reached:
                    continue
            if counted and len(counted) == len(calls):
                name = next(name for name, number in left.items() if number)
                raise InputError(f"layer {name!r} was called less often than before: its calls hang on values")
    return unclear
