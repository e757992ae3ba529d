"""Mask mode: units silenced where they are read, weights untouched (spec majority-voting-pruning, 0.4).

A silenced unit is multiplied by 0 at the tensor that its consumers read, after activation, norm and pooling, so
that in evaluation the network computes what the cut one computes. A norm over units counts only those that stay.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from nervure.errors import InputError
from nervure.nets.origin import origin_of
from nervure.nets.structure.cut import Kept, as_units, removed
from nervure.nets.structure.groups import Group, Places
from nervure.nets.structure.surgery import Graph
from nervure.registry import nearest

__all__ = ["ablated", "attach", "by_group", "default_example", "unit_axis"]


class Gate:
    """A hook that multiplies what a module reads by 0 at the places that are silenced."""

    def __init__(self, axis: int, size: int, places: Places) -> None:
        self.axis = axis
        self.mask = torch.ones(size)
        self.mask[torch.from_numpy(places)] = 0

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace the first tensor."""
        if args:
            return (self.on(args[0]), *args[1:]), kwargs
        first = next(iter(kwargs))
        return args, {**kwargs, first: self.on(kwargs[first])}

    def on(self, value: Tensor) -> Tensor:
        """``value`` with its silenced units at 0."""
        mask = self.mask.to(value)
        return value * mask.view(-1, *[1] * (-1 - self.axis))


class NormOver:
    """A hook that gives what a norm over units would give if the silenced ones were not there.

    The norm's own forward runs again, so that one that turns its units to the last axis and back is understood too.
    """

    def __init__(self, size: int, places: Places) -> None:
        self.size, self.stays = size, torch.from_numpy(np.delete(np.arange(size), places))

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """The norm of the units that stay, in their places; 0 elsewhere."""
        with _Over(self.size, self.stays.to(output.device)):
            found: Tensor = module.forward(*args)
        return found


_AXES = {F.layer_norm: -1, F.rms_norm: -1, F.group_norm: 1}


class _Over(TorchFunctionMode):
    """Has norms over ``size`` units see only those that stay."""

    def __init__(self, size: int, stays: Tensor) -> None:
        super().__init__()
        self.size, self.stays = size, stays

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        axis = _AXES.get(func)
        if axis is None:
            return func(*args, **(kwargs or {}))
        given = inspect.signature(func).bind(*args, **(kwargs or {}))
        held = given.arguments
        x = held["input"]
        if x.shape[axis] != self.size:
            return func(*args, **(kwargs or {}))
        held["input"] = x.index_select(axis, self.stays)
        if "normalized_shape" in held:
            held["normalized_shape"] = (len(self.stays),)
        for name in ("weight", "bias"):
            if held.get(name) is not None:
                held[name] = held[name][self.stays]
        part = func(*given.args, **given.kwargs)
        return part.new_zeros(x.shape).index_copy(axis, self.stays, part)


def unit_axis(module: nn.Module) -> int:
    """The axis of units in what a consumer reads, from the end.

    >>> unit_axis(nn.Conv2d(1, 1, 1)), unit_axis(nn.Linear(1, 1))
    (-3, -1)
    """
    return -1 - len(module.kernel_size) if isinstance(module, _ConvNd) else -1


def attach(net: nn.Module, groups: Sequence[Group], kept: Kept) -> list[RemovableHandle]:
    """Hook ``net`` so that only the ``kept`` units of each group act; the handles undo it."""
    gone, _ = removed(groups, kept)
    modules = dict(net.named_modules())
    handles = []
    for (name, kind), (size, places) in gone.items():
        module = modules.get(name)
        if kind == "in":
            gate = Gate(unit_axis(modules[name]), size, places)
            handles.append(modules[name].register_forward_pre_hook(gate, with_kwargs=True))
        elif kind == "through" and isinstance(module, nn.LayerNorm | nn.RMSNorm | nn.GroupNorm):
            handles.append(module.register_forward_hook(NormOver(size, places)))
    return handles


@contextmanager
def ablated(
    net: nn.Module,
    keep: Kept,
    *,
    example: Tensor | Sequence[Tensor] | None = None,
    graph: Graph | None = None,
) -> Iterator[nn.Module]:
    """Silence all units but those in ``keep`` while the block runs; the network is as before after it.

    Parameters
    ----------
    net : Module
        It is hooked, not copied; its weights stay as they are.
    keep : mapping of layer name to units
        Positions, or a mask (units,); layers that are not named keep all. A layer whose outputs are added to
        another's has its units in common with it.
    example, graph : optional
        Samples (n, ...) to examine the network with, or what :func:`nervure.nets.structure.layers.examine` found.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1, bias=False)).requires_grad_(False)
    >>> with ablated(net, {"0": [1]}, example=torch.zeros(2, 2)):
    ...     alone = net(torch.ones(1, 2))
    >>> whole = net[1](net[0](torch.ones(1, 2)))
    >>> torch.allclose(alone, whole[:, 1:2] @ net[2].weight[:, 1:2].T)
    True
    """
    if graph is None:
        from nervure.nets.structure.layers import examine  # which tries cuts beside masks, and so stands on this file

        graph = examine(net, default_example(net) if example is None else example)
    handles = attach(net, graph.groups, by_group(graph.groups, keep))
    try:
        yield net
    finally:
        for handle in handles:
            handle.remove()


def by_group(groups: Sequence[Group], keep: Kept) -> dict[str, Places]:
    """From kept units of layers to kept units of groups; a layer may lie in several, a group hold several."""
    layers: dict[str, list[Group]] = {}
    for group in groups:
        for layer in group.layers:
            layers.setdefault(layer, []).append(group)
    found: dict[str, Places] = {}
    by: dict[str, str] = {}
    for name, given in keep.items():
        if name not in layers:
            raise InputError(f"no layer {name!r} whose units could be cut; {nearest(name, tuple(layers))}")
        size = layers[name][0].side(name).size
        at = as_units(given, size, name)
        for group in layers[name]:
            side = group.side(name)
            units = np.unique(side.units[np.isin(side.places, at)])
            if not len(units):
                raise InputError(f"{name}: none of the units that {group.name!r} needs would stay; keep at least one")
            if group.name in found and not np.array_equal(found[group.name], units):
                raise InputError(f"{name!r} and {by[group.name]!r} share their units; keep the same of both")
            found[group.name], by[group.name] = units, name
    return found


def default_example(net: nn.Module) -> Tensor:
    """Three random samples of the shape that the network was built for.

    >>> from nervure import nets
    >>> default_example(nets.build("mlp", in_shape=(4,), classes=2)).shape
    torch.Size([3, 4])
    """
    origin = origin_of(net)
    if origin is None:
        raise InputError("this network does not say what it reads; give example=, three samples as (3, ...)")
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, *origin.base.in_shape, generator=generator)
