"""Which units lost all their incoming or all their outgoing edges, and which of them can go.

A unit can go if no layer that reads it has an edge left to it, or what the layer reads of it is a constant: zero, or
one that its bias can take. Units that go take edges with them, which can empty others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nervure.nets.structure.groups import Group, Places, Side
from nervure.nets.structure.surgery import Graph
from nervure.sparsify.reach import Affine, edges

__all__ = ["Emptied", "emptied", "takes"]

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Emptied:
    """What can go of a network.

    Parameters
    ----------
    gone : mapping of group name to (units,) bool
        Groups that lose units.
    shifts : mapping of layer name to (in,) float
        Constants that layers must take into their bias, 0 elsewhere.
    folded : mapping of group name to int
        How many of the units that go leave a constant behind.
    stays : mapping of group name to mapping of reason to int
        Units that lost their edges and stay, and why.
    """

    gone: Mapping[str, Flags]
    shifts: Mapping[str, Tensor]
    folded: Mapping[str, int]
    stays: Mapping[str, Mapping[str, int]]


def emptied(
    net: nn.Module, graph: Graph, fixed: Mapping[str, Tensor], whole: Mapping[str, str] | None = None
) -> Emptied:
    """Find what can go.

    Parameters
    ----------
    net : Module
        Not changed.
    graph : Graph
        Its groups of units.
    fixed : mapping of layer name to (in,) float
        Constants that layers read, NaN where there is none (:func:`nervure.sparsify.reach.constants`).
    whole : mapping of group name to str, optional
        Further groups that must stay whole, and why.

    Examples
    --------
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).requires_grad_(False)
    >>> net[2].weight[:, 1] = 0
    >>> emptied(net, trace(net, torch.zeros(2, 2)), {}).gone["0"].tolist()
    [False, True, False]
    """
    search = _Search(net, graph.without(whole or {}), fixed)
    search.run()
    return Emptied(
        {name: gone for name, gone in search.gone.items() if gone.any()}, *search.folds(), search.left_over()
    )


def takes(layer: nn.Module) -> bool:
    """Whether a constant at every position of what a layer reads is a constant at every position of what it gives.

    >>> takes(nn.Conv2d(1, 1, 3)), takes(nn.Conv2d(1, 1, 3, padding=1)), takes(nn.Linear(1, 1))
    (True, False, True)
    """
    if not isinstance(layer, _ConvNd):
        return isinstance(layer, nn.Linear)
    if layer.transposed:
        return False
    if isinstance(layer.padding, str):
        none = layer.padding == "valid" or all(side == 1 for side in layer.kernel_size)
    else:
        none = not any(layer.padding)
    return none or layer.padding_mode != "zeros"


class _Search:
    """The state of one search: units that go, and the sides of layers that go with them."""

    def __init__(self, net: nn.Module, graph: Graph, fixed: Mapping[str, Tensor]) -> None:
        self.modules = dict(net.named_modules())
        self.graph = graph
        self.edges: dict[str, Flags] = {}
        for name in {side.module for group in graph.groups for side in group.sides if side.kind in ("in", "out")}:
            if isinstance(self.modules.get(name), (Affine, nn.RNNBase)):
                self.edges[name] = edges(self.modules[name]).cpu().numpy()
        self.fixed = {name: value.double().cpu().numpy() for name, value in fixed.items()}
        self.gone = {group.name: np.zeros(group.units, dtype=bool) for group in graph.groups}
        self.lost: dict[tuple[str, str], Flags] = {}

    def run(self) -> None:
        """Let units go, the last groups first, until nothing changes."""
        changed = True
        while changed:
            changed = False
            for group in reversed(self.graph.free):
                if _over_units(group, self.modules):
                    continue
                chosen = _chosen(group, self.may_go(group), self.gone[group.name])
                if chosen.sum() > self.gone[group.name].sum():
                    self.gone[group.name] = chosen
                    for side in group.sides:
                        places = side.places[chosen[side.units]]
                        self.lost.setdefault((side.module, side.kind), np.zeros(side.size, dtype=bool))[places] = True
                    changed = True

    def may_go(self, group: Group) -> Flags:
        """(units,) whether every layer that reads a unit can do without it."""
        return _all_of(group, ((side, self.free_of(side)) for side in group.sides if side.kind == "in"))

    def free_of(self, side: Side) -> Flags:
        """(places,) whether a layer can do without what it reads there."""
        value = self.constant(side)
        known = ~np.isnan(value) if takes(self.modules[side.module]) else value == 0
        return known | ~self.read(side)

    def constant(self, side: Side) -> NDArray[np.float64]:
        """(places,) the constants that a layer reads, NaN where there is none."""
        return self.fixed.get(side.module, np.full(side.size, np.nan))

    def read(self, side: Side) -> Flags:
        """(places,) whether an edge leads from there to an output that stays."""
        if side.module not in self.edges:
            return np.ones(side.size, dtype=bool)
        there = self.edges[side.module]
        lost = None if isinstance(self.modules[side.module], nn.RNNBase) else self.lost.get((side.module, "out"))
        found: Flags = np.any(there if lost is None else there[~lost], axis=0)
        return found

    def fed(self, side: Side) -> Flags:
        """(places,) whether an edge leads there from an input that stays."""
        if side.module not in self.edges or isinstance(self.modules[side.module], nn.RNNBase):
            return np.ones(side.size, dtype=bool)
        there = self.edges[side.module]
        lost = self.lost.get((side.module, "in"))
        found: Flags = np.any(there if lost is None else there[:, ~lost], axis=1)
        return found

    def folds(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Constants for biases by layer, and by group how many units leave one."""
        shifts: dict[str, Tensor] = {}
        folded: dict[str, int] = {}
        for group in self.graph.free:
            leaves = np.zeros(group.units, dtype=bool)
            for side in group.sides:
                if side.kind != "in" or not takes(self.modules[side.module]):
                    continue
                value = np.nan_to_num(self.constant(side))
                ours = self.gone[group.name][side.units] & (value != 0)[side.places] & self.read(side)[side.places]
                leaves[side.units[ours]] = True
                if ours.any():
                    shift = shifts.setdefault(side.module, torch.zeros(side.size, dtype=torch.float64))
                    shift[torch.from_numpy(side.places[ours])] = torch.from_numpy(value[side.places[ours]])
            if leaves.any():
                folded[group.name] = int(leaves.sum())
        return shifts, folded

    def left_over(self) -> dict[str, dict[str, int]]:
        """Units without incoming or without outgoing edges that stay, counted by reason."""
        found: dict[str, dict[str, int]] = {}
        for group in self.graph.groups:
            ins = [side for side in group.sides if side.kind == "in"]
            no_way_in = _all_of(group, ((side, ~self.fed(side)) for side in group.sides if side.kind == "out"))
            no_way_out = _all_of(group, ((side, ~self.read(side)) for side in ins)) & bool(ins)
            empty = (no_way_in | no_way_out) & ~self.gone[group.name]
            may_go = self.may_go(group) if empty.any() else empty
            for unit in np.flatnonzero(empty).tolist():
                reason = self.reason(group, unit, bool(may_go[unit]))
                by = found.setdefault(group.name, {})
                by[reason] = by.get(reason, 0) + 1
        return found

    def reason(self, group: Group, unit: int, may_go: bool) -> str:
        """Why an empty unit stays."""
        if group.why:
            return group.why
        if norm := _over_units(group, self.modules):
            return f"{norm!r} normalises over the units"
        if may_go:
            return "a layer keeps at least one unit" if group.step == 1 else "each part must lose as many"
        for side in group.sides:
            if side.kind != "in":
                continue
            places = side.places[side.units == unit]
            if not self.free_of(side)[places].all():
                if np.isnan(self.constant(side)[places]).any():
                    return f"what {side.module!r} reads of it is no constant"
                return f"its constant is not zero, and {side.module!r} cannot take it into its bias"
        return "other layers read it"


def _all_of(group: Group, sides: Collection[tuple[Side, Flags]] | Iterator[tuple[Side, Flags]]) -> Flags:
    """(units,) whether all places of a unit are marked on every side."""
    good = np.ones(group.units, dtype=bool)
    for side, marked in sides:
        good[side.units[~marked[side.places]]] = False
    return good


def _over_units(group: Group, modules: Mapping[str, nn.Module]) -> str:
    """The norm that would give other values with fewer units, if there is one."""
    kinds = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    names = (side.module for side in group.sides if side.kind == "through")
    return next((name for name in names if isinstance(modules.get(name), kinds)), "")


def _chosen(group: Group, may_go: Flags, gone: Flags) -> Flags:
    """The same number of each block, those that go already first; one of each block stays."""
    blocks: list[Places] = [np.flatnonzero(group.block == one) for one in range(group.step)]
    count = min(min(int(may_go[block].sum()), len(block) - 1) for block in blocks)
    chosen = np.zeros(group.units, dtype=bool)
    for block in blocks:
        candidates = block[may_go[block]]
        first = np.argsort(~gone[candidates], kind="stable")
        chosen[candidates[first[:count]]] = True
    return chosen
