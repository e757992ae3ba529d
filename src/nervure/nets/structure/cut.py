"""cut: a copy of a network without some of its units, tensors really smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.structure.copying import copied
from nervure.nets.structure.groups import Group, Key, Places
from nervure.nets.structure.slices import effects, narrow, narrow_parameter

__all__ = ["Kept", "as_units", "cut", "removed"]

Kept = Mapping[str, Sequence[int]] | Mapping[str, Tensor] | Mapping[str, Places]
"""Units that stay, by name: positions, or masks (units,)."""


def cut(net: nn.Module, groups: Sequence[Group], kept: Kept) -> nn.Module:
    """A copy of ``net`` in which the groups keep only some units; ``net`` is not changed.

    Parameters
    ----------
    net : Module
        Any network with the groups' modules.
    groups : sequence of Group
        What goes together.
    kept : mapping of group name to indices
        Which units stay; groups that are not named stay whole.

    Examples
    --------
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> cut(net, trace(net, torch.zeros(2, 2)).groups, {"0": [0, 2]})[2]
    Linear(in_features=2, out_features=1, bias=True)
    """
    gone, axes = removed(groups, kept)
    fresh = _replaced(net, gone)
    # What is sliced, and so replaced, right after need not be copied.
    thin = copied(
        net,
        lambda one: nn.Parameter(one.detach() if id(one) in fresh else one.detach().clone(), one.requires_grad),
    )
    modules = dict(thin.named_modules())
    for (name, kind), (size, places) in gone.items():
        stays = torch.from_numpy(np.delete(np.arange(size), places))
        if kind == "parameter":
            narrow_parameter(thin, name, axes[name], stays)
        else:
            narrow(modules[name], kind, stays)
    return thin


def _replaced(net: nn.Module, gone: Mapping[Key, object]) -> set[int]:
    """The parameters that cutting slices."""
    modules = dict(net.named_modules())
    layers = [(modules[name], kind) for name, kind in gone if kind != "parameter"]
    return {id(getattr(module, key)) for module, kind in layers for key, _ in effects(module, kind).tensors}


def removed(groups: Sequence[Group], kept: Kept) -> tuple[dict[Key, tuple[int, Places]], dict[str, int]]:
    """By side of a module, its size and the places that go, over all groups; and the axes of bare parameters."""
    lost: dict[Key, tuple[int, list[Places]]] = {}
    axes: dict[str, int] = {}
    known = {group.name for group in groups}
    if missing := [name for name in kept if name not in known]:
        raise InputError(f"no group {missing[0]!r}; there are: {', '.join(sorted(known))}")
    for group in groups:
        if group.name not in kept:
            continue
        stays = np.zeros(group.units, dtype=bool)
        stays[as_units(kept[group.name], group.units, group.name)] = True
        if stays.all():
            continue
        if group.why:
            raise InputError(f"{group.name!r} cannot be cut: {group.why}")
        for side in group.sides:
            gone = side.places[~stays[side.units]]
            lost.setdefault((side.module, side.kind), (side.size, []))[1].append(gone)
            axes[side.module] = side.axis
    return {key: (size, np.concatenate(parts)) for key, (size, parts) in lost.items()}, axes


def as_units(keep: Sequence[int] | Tensor | Places, units: int, name: str) -> Places:
    """Positions of kept units, ascending, from positions or a mask; anything else is refused.

    >>> as_units(torch.tensor([True, False, True]), 3, "conv1").tolist()
    [0, 2]
    """
    given = torch.as_tensor(keep).cpu()
    if given.dtype == torch.bool:
        if given.shape != (units,):
            raise InputError(f"{name}: a mask of shape {tuple(given.shape)}; its {units} units need ({units},)")
        given = given.nonzero().flatten()
    if given.numel() and (given.is_floating_point() or int(given.min()) < 0 or int(given.max()) >= units):
        raise InputError(f"{name}: units to keep are whole numbers from 0 to {units - 1}")
    at = np.unique(given.numpy().astype(np.int64))
    if not len(at):
        raise InputError(f"{name}: no unit would stay; keep at least one")
    return at
