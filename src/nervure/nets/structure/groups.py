"""Group: units of several layers that can only go together, and every place in the network that they touch.

A unit of a group may own places in many modules: an output of one layer, of a second one whose outputs are
added to it, its entry in a norm, the columns that read it. Units that touch the same sides of the same modules
make a group, so each side keeps at least one place as long as each group keeps one unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nervure.nets.structure.slices import Kind, Unsupported, effects

__all__ = ["Found", "Group", "Key", "Places", "Side", "make_groups"]

Places = NDArray[np.int64]
Key = tuple[str, Kind]


@dataclass(frozen=True, eq=False)
class Side:
    """The places that a group's units own on one side of one module.

    ``units`` and ``places`` are pairs, (n,) each, sorted by unit and then place. ``size`` is the number of places on
    the whole side. ``axis`` is for bare parameters.
    """

    module: str
    kind: Kind
    size: int
    units: Places
    places: Places
    axis: int = 0

    @property
    def factor(self) -> int:
        """How many places each unit owns: more than one behind a flatten."""
        return len(self.units) // max(1, int(self.units.max(initial=-1)) + 1)

    @property
    def plain(self) -> bool:
        """Whether the units fill the side in their own order."""
        return len(self.places) == self.size and bool((self.places == np.arange(self.size)).all())


@dataclass(frozen=True, eq=False)
class Group:
    """Units that go together.

    Parameters
    ----------
    name : str
        The first producer.
    layers : tuple of str
        Every layer whose output units these are; more than one where outputs are added.
    consumers : mapping of str to int
        The layers that read the units, and how many places each unit has there.
    units : int
        How many can be chosen among.
    block : array
        (units,) block of each unit; every block must lose the same number.
    why : str
        Why the group must stay whole; empty if it can be cut.
    shortcut : bool
        Whether it is a residual stream: several layers' outputs are added in it, or it is what a block with a
        projection beside it reads.
    """

    name: str
    layers: tuple[str, ...]
    consumers: Mapping[str, int]
    units: int
    block: Places
    why: str
    shortcut: bool
    sides: tuple[Side, ...] = field(repr=False)

    @property
    def step(self) -> int:
        """The smallest number of units that can go together."""
        return int(self.block.max(initial=0)) + 1

    def whole(self, why: str) -> Group:
        """The same group, not to be cut."""
        return replace(self, why=why)

    def side(self, module: str, kind: Kind = "out") -> Side:
        """The side of one module."""
        return next(one for one in self.sides if (one.module, one.kind) == (module, kind))


@dataclass
class Found:
    """What following the network's dependencies found.

    ``links`` are (root key, root places, key, places): the places that go when the root's places go. ``flags`` are
    (root key, root places, reason) for places that cannot be cut; ``sums`` (root key, root places) for those that
    are added to others. ``order`` numbers the modules as they were first called.
    """

    sizes: dict[Key, int] = field(default_factory=dict)
    axes: dict[str, int] = field(default_factory=dict)
    links: list[tuple[Key, Places, Key, Places]] = field(default_factory=list)
    flags: list[tuple[Key, Places, str]] = field(default_factory=list)
    sums: list[tuple[Key, Places]] = field(default_factory=list)
    order: Mapping[str, int] = field(default_factory=dict)


def make_groups(net: nn.Module, found: Found) -> tuple[Group, ...]:
    """Units as connected places, and groups as units that touch the same sides: in the order of calls.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> three = np.arange(3)
    >>> found = Found({("0", "out"): 3, ("2", "in"): 3}, order={"0": 0, "2": 1})
    >>> found.links = [(("0", "out"), three, key, three) for key in found.sizes]
    >>> [(group.name, group.units, dict(group.consumers)) for group in make_groups(net, found)]
    [('0', 3, {'2': 1})]
    """
    if not found.sizes:
        return ()
    starts = dict(zip(found.sizes, np.cumsum([0, *found.sizes.values()])[:-1].tolist(), strict=True))
    unit = _connected(found, starts)
    touched = np.zeros(len(unit), dtype=bool)
    for root, at, key, places in found.links:
        touched[starts[root] + at] = True
        touched[starts[key] + places] = True
    there = _distinct(unit[touched])
    # Units are of one family if they touch the same sides.
    family = np.unique(_signatures(found, starts, unit, touched)[there], return_inverse=True)[1].reshape(-1)
    of = np.full(int(unit.max()) + 1, -1, dtype=np.int64)
    of[there] = family
    keys: list[list[Key]] = [[] for _ in range(int(family.max()) + 1)]
    for key, start in starts.items():
        span = slice(start, start + found.sizes[key])
        for one in _distinct(of[unit[span][touched[span]]]).tolist():
            keys[one].append(key)
    flags: dict[int, str] = {}
    for root, at, reason in found.flags:
        for one in _distinct(of[unit[starts[root] + at]]).tolist():
            flags.setdefault(one, reason)
    summed = {one for root, at in found.sums for one in _distinct(of[unit[starts[root] + at]]).tolist()}
    shared = _shared(net)
    modules = dict(net.named_modules())
    made = []
    for one, own in enumerate(keys):
        sides = _sides(found, {key: starts[key] for key in own}, unit, touched, there[family == one])
        if any(side.kind == "out" for side in sides):
            made.append(_group(modules, sides, flags.get(one, ""), one in summed, shared))
    made = _streams(made)
    return _named(sorted(made, key=lambda group: (found.order.get(group.name, 0), group.side(group.name).places[0])))


def _distinct(numbers: Places) -> Places:
    """Which whole numbers occur, ascending; they are few and small, so counting beats sorting."""
    return np.flatnonzero(np.bincount(numbers)).astype(np.int64)


def _connected(found: Found, starts: Mapping[Key, int]) -> Places:
    """For each place, which unit it belongs to."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one = np.concatenate([starts[root] + at for root, at, _, _ in found.links])
    two = np.concatenate([starts[key] + places for _, _, key, places in found.links])
    total = sum(found.sizes.values())
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, two)), shape=(total, total))
    unit: Places = connected_components(graph, directed=False)[1].astype(np.int64)
    return unit


def _signatures(found: Found, starts: Mapping[Key, int], unit: Places, touched: NDArray[np.bool_]) -> Places:
    """(units,) one number for each set of sides: the wrapping sum of a random word a side."""
    words = np.random.default_rng(0).integers(-(1 << 62), 1 << 62, size=len(starts))
    total = np.zeros(int(unit.max()) + 1, dtype=np.int64)
    with np.errstate(over="ignore"):
        for (key, start), word in zip(starts.items(), words, strict=True):
            span = slice(start, start + found.sizes[key])
            total[_distinct(unit[span][touched[span]])] += word
    return total


def _sides(
    found: Found, starts: Mapping[Key, int], unit: Places, touched: NDArray[np.bool_], members: Places
) -> list[Side]:
    """The members' places on each side they touch; units are numbered by their place in the first producer."""
    rank = np.full(int(unit.max()) + 1, -1, dtype=np.int64)
    rank[members] = np.arange(len(members))
    raw: list[tuple[Key, Places, Places]] = []
    for key, start in starts.items():
        span = slice(start, start + found.sizes[key])
        places = np.flatnonzero(touched[span] & (rank[unit[span]] >= 0))
        raw.append((key, rank[unit[span][places]], places))
    producers = [one for one in raw if one[0][1] == "out"]
    if not producers:
        return []
    first = min(producers, key=lambda one: (found.order.get(one[0][0], 0), one[0][0]))
    order = first[1][np.sort(np.unique(first[1], return_index=True)[1])]
    number = np.empty(len(members), dtype=np.int64)
    number[order] = np.arange(len(order))
    sides = []
    for (module, kind), units, places in raw:
        ours = number[units]
        by = np.lexsort((places, ours))
        sides.append(Side(module, kind, found.sizes[module, kind], ours[by], places[by], found.axes.get(module, 0)))
    return sorted(sides, key=lambda side: (found.order.get(side.module, 0), side.module, side.kind))


def _group(
    modules: Mapping[str, nn.Module],
    sides: Sequence[Side],
    why: str,
    shortcut: bool,
    shared: Mapping[str, str],
) -> Group:
    layers = tuple(side.module for side in sides if side.kind == "out")
    units = int(next(side for side in sides if side.kind == "out").units.max()) + 1
    consumers = {side.module: side.factor for side in sides if side.kind == "in"}
    block = np.zeros(units, dtype=np.int64)
    if not why:
        block, why = _blocks(modules, sides, units)
    tied = [side.module for side in sides if side.module in shared]
    if tied and (not why or why == _ALONE):
        why = f"{tied[0]!r} shares its weights with {shared[tied[0]]!r}"
    if not why and not consumers:
        why = "no layer reads its units"
    return Group(layers[0], layers, consumers, units, block, why, shortcut and len(layers) > 1, tuple(sides))


_ALONE = "it has a single unit"


def _blocks(modules: Mapping[str, nn.Module], sides: Sequence[Side], units: int) -> tuple[Places, str]:
    """(units,) the finest partition of which every block must lose the same number, or why there is none."""
    rows = [np.zeros(units, dtype=np.int64)]
    for side in sides:
        if (np.bincount(side.units, minlength=units) != len(side.units) // units).any():
            return rows[0], f"its units own unequal shares of {side.module!r}"
        if side.kind == "parameter":
            continue
        try:
            count = effects(modules[side.module], side.kind).blocks
        except Unsupported as error:
            return rows[0], f"{side.module!r}: {error}"
        if count > 1:
            own = side.places.reshape(units, -1) // (side.size // count)
            if (own != own[:, :1]).any():
                return rows[0], f"its units lie across the groups of {side.module!r}"
            rows.append(own[:, 0])
    if units < 2:
        return rows[0], _ALONE
    block = np.unique(np.stack(rows, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    sizes = np.bincount(block)
    if (sizes != sizes[0]).any() or sizes[0] < 2:
        return np.zeros(units, dtype=np.int64), "grouped layers leave no units that could go together"
    return block, ""


def _streams(groups: Sequence[Group]) -> list[Group]:
    """Also a stream is what a residual block reads on two ways, one of which leads straight into its sum."""
    summed = {layer for group in groups if group.shortcut for layer in group.layers}
    return [
        replace(group, shortcut=True) if len(group.consumers) > 1 and summed & {*group.consumers} else group
        for group in groups
    ]


def _shared(net: nn.Module) -> dict[str, str]:
    """Modules that hold a parameter which another module holds too, and that other one."""
    owners: dict[int, list[str]] = {}
    for name, module in net.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(name or key)
    pairs: dict[str, str] = {}
    for names in owners.values():
        if len(names) > 1:
            pairs.update({name: names[0] if name != names[0] else names[1] for name in names})
    return pairs


def _named(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Groups under names of their own: parts of one layer are ``conv``, ``conv:2``, ``conv:3``."""
    seen: dict[str, int] = {}
    named = []
    for group in groups:
        seen[group.name] = seen.get(group.name, 0) + 1
        part = seen[group.name]
        named.append(group if part == 1 else replace(group, name=f"{group.name}:{part}"))
    return tuple(named)
