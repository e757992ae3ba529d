"""What a network will cost once units are gone, and how many may stay: exact, without cutting anything."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from nervure.errors import InputError
from nervure.nets.cost import Cost
from nervure.nets.structure.groups import Group
from nervure.nets.structure.slices import effects

__all__ = ["Counts", "Forecast", "Ladder", "give_back", "kept_count", "levels", "search", "shared", "uniform"]

Counts = dict[str, int]
Rounding = Literal["floor", "round"]
_COUNTED = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase)


@dataclass(frozen=True)
class _Size:
    """One tensor of a module: its shape, and what each group takes from which dimension, a unit."""

    shape: tuple[int, ...]
    terms: tuple[tuple[int, str, float], ...]

    def numel(self, lost: Mapping[str, int]) -> int:
        sides = list(self.shape)
        for axis, group, places in self.terms:
            sides[axis] -= round(places * lost.get(group, 0))
        return math.prod(sides)


class Forecast:
    """Parameters and multiply-adds as functions of how many units each group keeps.

    Each tensor's sides shrink by what its groups lose, and a layer's multiply-adds are its weights times the
    positions that it works on, which cutting units leaves alone. ``exact`` is False where something else than layers
    was counted (products of activations); then the cut network has to be counted itself.

    >>> import torch
    >>> from nervure.nets.cost import count
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> forecast = Forecast(net, trace(net, torch.zeros(2, 4)).groups, count(net, (4,)))
    >>> forecast({"0": 3})
    (23, 18)
    """

    def __init__(self, net: nn.Module, groups: Sequence[Group], cost: Cost) -> None:
        self.units = {group.name: group.units for group in groups}
        self.cost = cost
        self._sizes = _tensors(net, groups)
        modules = dict(net.named_modules())
        self.exact = all(isinstance(modules[row.name], _COUNTED) for row in cost.rows if row.ops)
        self._macs: dict[str, tuple[int, int, tuple[str, ...]]] = {}
        for row in cost.rows:
            weights = tuple(
                f"{row.name}.{name}" if row.name else name
                for name, one in modules[row.name]._parameters.items()
                if one is not None and one.ndim > 1
            )
            whole = sum(self._sizes[name].numel({}) for name in weights if name in self._sizes)
            if row.ops and whole and any(self._sizes[name].terms for name in weights if name in self._sizes):
                self._macs[row.name] = (row.ops, whole, weights)
                self.exact = self.exact and row.ops % whole == 0

    def __call__(self, counts: Mapping[str, int]) -> tuple[int, int]:
        """Parameters and multiply-adds of one sample, where groups that are not named stay whole."""
        macs = self.cost.ops
        for name, now in self.macs(counts).items():
            macs += now - self._macs[name][0]
        lost = self._lost(counts)
        return sum(one.numel(lost) for one in self._sizes.values()), macs

    def macs(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Multiply-adds of each layer that could change."""
        lost = self._lost(counts)
        found = {}
        for name, (ops, whole, weights) in self._macs.items():
            now = sum(self._sizes[one].numel(lost) for one in weights if one in self._sizes)
            found[name] = ops * now // whole
        return found

    def _lost(self, counts: Mapping[str, int]) -> dict[str, int]:
        return {name: self.units[name] - count for name, count in counts.items()}


def _tensors(net: nn.Module, groups: Sequence[Group]) -> dict[str, _Size]:
    """Each parameter once, and what it may lose."""
    modules = dict(net.named_modules())
    terms: dict[str, list[tuple[int, str, float]]] = {}
    for group in groups:
        if group.why:
            continue
        for side in group.sides:
            if side.kind == "parameter":
                terms.setdefault(side.module, []).append((side.axis, group.name, side.factor))
                continue
            change = effects(modules[side.module], side.kind)
            share = side.factor / (change.blocks if change.divide else 1)
            for name, axis in change.tensors:
                key = f"{side.module}.{name}" if side.module else name
                terms.setdefault(key, []).append((axis, group.name, share))
    return {
        name: _Size(tuple(parameter.shape), tuple(terms.get(name, ()))) for name, parameter in net.named_parameters()
    }


def levels(group: Group, multiple: int = 1) -> list[int]:
    """The numbers of units that a group may keep, ascending: whole steps, and multiples where asked.

    >>> import numpy as np
    >>> group = Group("conv", ("conv",), {}, 20, np.zeros(20, dtype=np.int64), "", False, ())
    >>> levels(group, 8)
    [8, 16, 20]
    """
    stride = math.lcm(group.step, multiple)
    return sorted({*range(stride, group.units + 1, stride), group.units})


def shared(amount: int, sizes: Sequence[int]) -> list[int]:
    """``amount`` divided over parts of these sizes: in proportion, at least one each, none lost.

    >>> shared(7, [12, 4]), shared(2, [12, 4])
    ([5, 2], [1, 1])
    """
    ends = [0]
    for at, end in enumerate(itertools.accumulate(sizes), 1):
        wanted = math.floor(amount * end / sum(sizes) + 0.5)
        # No part is left without one, at its neighbours' cost.
        ends.append(min(max(wanted, ends[-1] + 1), amount - (len(sizes) - at)))
    return [after - before for before, after in itertools.pairwise(ends)]


def kept_count(group: Group, share: float, multiple: int = 1, rounding: Rounding = "floor") -> int:
    """How many units stay of a group at a share: spec majority-voting-pruning, 0.2.

    >>> import numpy as np
    >>> group = Group("conv", ("conv",), {}, 256, np.zeros(256, dtype=np.int64), "", False, ())
    >>> kept_count(group, 0.8), kept_count(group, 0.8, rounding="round")
    (204, 205)
    """
    stride = math.lcm(group.step, multiple)
    wanted = share * group.units / stride
    count = stride * math.floor(wanted + (0.5 if rounding == "round" else 1e-9))
    if share >= 1 or stride > group.units or count >= group.units:
        return group.units
    return max(stride, count)


def uniform(groups: Iterable[Group], share: float, multiple: int = 1, rounding: Rounding = "floor") -> Counts:
    """The same share of every group."""
    return {group.name: kept_count(group, share, multiple, rounding) for group in groups}


Fits = Callable[[Counts], bool]


class Ladder:
    """Numbers of units from the fewest to all, each rung at least as large as the one below, group by group.

    ``priority`` ranks groups when a single one may get a step back: lower goes first.
    """

    def __init__(self, rungs: Sequence[Callable[[], Counts]], priority: Callable[[str, int], float]) -> None:
        self.rungs = rungs
        self.priority = priority

    def __len__(self) -> int:
        return len(self.rungs)

    def __getitem__(self, at: int) -> Counts:
        return self.rungs[at]()


def search(ladder: Ladder, fits: Fits, groups: Sequence[Group], multiple: int = 1) -> Counts | None:
    """The largest numbers that fit: the highest rung, then steps given back while any fits; None if none does."""
    if not fits(ladder[0]):
        return None
    low, high = 0, len(ladder)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(ladder[middle]) else (low, middle)
    return give_back(ladder[low], fits, groups, ladder.priority, multiple)


def give_back(
    counts: Counts, fits: Fits, groups: Sequence[Group], priority: Callable[[str, int], float], multiple: int = 1
) -> Counts:
    """Give groups their next step back while that fits, so that in the end no single step does."""
    counts = dict(counts)
    steps = {group.name: levels(group, multiple) for group in groups}
    stuck: set[str] = set()
    while True:
        nexts = {
            name: next((one for one in steps[name] if one > counts[name]), None) for name in steps if name not in stuck
        }
        waiting = sorted((priority(name, one), name, one) for name, one in nexts.items() if one is not None)
        for _, name, one in waiting:
            if fits({**counts, name: one}):
                counts[name] = one
                break
            # Costs only grow, so a step that does not fit now never will.
            stuck.add(name)
        else:
            return counts


def shares(groups: Sequence[Group], multiple: int = 1) -> Ladder:
    """The ladder of uniform shares: a rung wherever some group gets a step more."""
    marks = sorted({count / group.units for group in groups for count in levels(group, multiple)} | {1e-9})
    units = {group.name: group.units for group in groups}
    # However a share is rounded, the levels themselves are what it reaches.
    rungs = [lambda share=share: uniform(groups, share, multiple) for share in marks]
    return Ladder(rungs, lambda name, count: count / units[name])


def require(counts: Counts | None, what: str, least: float, asked: object) -> Counts:
    """The numbers found, or an error that says how far the network can go."""
    if counts is None:
        raise InputError(
            f"target {what}={asked}: even with one unit for each layer that may be cut the network has {least:,}; "
            "ask for more, or leave fewer layers out"
        )
    return counts
