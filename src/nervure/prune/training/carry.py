"""Where each parameter of a cut network comes from, so that optimizer state and weight masks follow the cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.structure.cut import Kept as Units
from nervure.nets.structure.cut import removed
from nervure.nets.structure.groups import Group
from nervure.nets.structure.slices import effects
from nervure.train.optimizer import Kept

__all__ = ["parameter_map", "parameter_masks"]


def parameter_map(net: nn.Module, groups: Sequence[Group], kept: Units) -> dict[str, Kept]:
    """For each parameter of the cut network: the old one it comes from, and which positions of it.

    Parameters
    ----------
    net : Module
        The network before the cut.
    groups : sequence of Group
        What goes together in it.
    kept : mapping of group name to units
        Which units stay; groups that are not named stay whole.

    Returns
    -------
    dict of str to Kept
        Without weights of grouped convolutions whose blocks of outputs lose inputs of their own: no positions
        along an axis say what stays of those.

    Examples
    --------
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> found = parameter_map(net, trace(net, torch.zeros(2, 2)).groups, {"0": [0, 2]})
    >>> {name: {axis: at.tolist() for axis, at in one.positions.items()} for name, one in found.items()}
    {'0.weight': {0: [0, 2]}, '0.bias': {0: [0, 2]}, '2.weight': {1: [0, 2]}, '2.bias': {}}
    """
    gone, axes = removed(groups, kept)
    modules = dict(net.named_modules())
    positions: dict[str, dict[int, Tensor]] = {}
    unclear: set[str] = set()
    for (module, kind), (size, places) in gone.items():
        stays = torch.from_numpy(np.delete(np.arange(size), places))
        if kind == "parameter":
            positions.setdefault(module, {})[axes[module]] = stays
            continue
        change = effects(modules[module], kind)
        for tensor, axis in change.tensors:
            name = f"{module}.{tensor}" if module else tensor
            if change.divide:
                unclear.add(name)
            positions.setdefault(name, {})[axis] = stays
    return {name: Kept(name, positions.get(name, {})) for name, _ in net.named_parameters() if name not in unclear}


def parameter_masks(net: nn.Module, groups: Sequence[Group], kept: Units) -> dict[str, Tensor]:
    """For each parameter that the cut would shrink: a mask of its own shape, True where it stays.

    Arguments are those of :func:`parameter_map`.

    Examples
    --------
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> parameter_masks(net, trace(net, torch.zeros(2, 2)).groups, {"0": [0, 2]})["2.weight"]
    tensor([[ True, False,  True]])
    """
    found = parameter_map(net, groups, kept)
    masks = {}
    for name, parameter in net.named_parameters():
        if name not in found:
            raise InputError(f"{name!r} belongs to a grouped convolution that reads cut units; cut instead of masking")
        if found[name].positions:
            masks[name] = _mask(parameter.shape, found[name].positions)
    return masks


def _mask(shape: torch.Size, positions: Mapping[int, Tensor]) -> Tensor:
    mask = torch.ones(shape, dtype=torch.bool)
    for axis, at in positions.items():
        gone = torch.ones(shape[axis], dtype=torch.bool)
        gone[at] = False
        mask.index_fill_(axis, gone.nonzero().flatten(), False)
    return mask
