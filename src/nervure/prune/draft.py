"""Draft: a network under judgement, and what it would be with so many units of each group."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from nervure.judge import Ranking, rounded
from nervure.nets.cost import Cost, count
from nervure.nets.shadow import on_meta
from nervure.nets.structure.cut import cut
from nervure.nets.structure.groups import Group, Places
from nervure.nets.structure.surgery import Graph
from nervure.prune import budget
from nervure.prune.budget import Counts, Forecast, Ladder, Rounding
from nervure.prune.scores import Score

__all__ = ["Draft", "staying"]


@dataclass(eq=False)
class Draft:
    """A network under judgement, with all that deciding needs."""

    net: nn.Module
    graph: Graph
    scores: Mapping[str, Score]
    cost: Cost
    inputs: Sequence[Tensor]
    shape: tuple[int, ...]
    ranking: Ranking
    rounding: Rounding
    multiple: int
    choosers: Mapping[str, Callable[[int], Tensor]] = field(default_factory=dict)
    natural: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.forecast = Forecast(self.net, self.graph.groups, self.cost)
        self._counted: dict[tuple[int, ...], tuple[int, int]] = {}

    @property
    def free(self) -> tuple[Group, ...]:
        """The groups that can be cut."""
        return self.graph.free

    def keep(self, counts: Counts) -> dict[str, Places]:
        """The units that stay of each group that loses some: the best of each block."""
        found = {}
        for group in self.free:
            if counts[group.name] < group.units:
                found[group.name] = self._best(group, counts[group.name]).numpy()
        return found

    def kept(self, counts: Counts) -> dict[str, tuple[int, ...]]:
        """The units that stay of each layer that loses some."""
        keep = self.keep(counts)
        found: dict[str, list[int]] = {}
        for group in self.graph.groups:
            for layer in group.layers:
                found.setdefault(layer, []).extend(staying(group, layer, keep))
        cut = {layer for group in self.free if group.name in keep for layer in group.layers}
        return {layer: tuple(sorted(units)) for layer, units in found.items() if layer in cut}

    def _best(self, group: Group, count: int) -> Tensor:
        """The criterion's own choice where it makes one for so many, the highest scores otherwise."""
        if group.name in self.choosers:
            return self.choosers[group.name](count).cpu().sort().values
        return self.scores[group.name].best(count, torch.from_numpy(group.block))

    def totals(self, counts: Counts) -> tuple[int, int]:
        """Parameters and multiply-adds, exactly."""
        if self.forecast.exact:
            return self.forecast(counts)
        return self.counted(counts)

    def counted(self, counts: Counts) -> tuple[int, int]:
        """The same from a cut copy without data, for networks in which more than layers is counted."""
        mark = tuple(counts[group.name] for group in self.free)
        if mark not in self._counted:
            firsts = {group.name: _first(group, counts[group.name]) for group in self.free}
            cost = count(cut(on_meta(self.net), self.graph.groups, firsts), [one[:1] for one in self.inputs])
            self._counted[mark] = cost.params, cost.macs
        return self._counted[mark]

    def predicted(self, counts: Counts) -> dict[str, int]:
        """The plan's four totals."""
        params, macs = self.totals(counts)
        return {
            "params_before": self.cost.params,
            "params_after": params,
            "macs_before": self.cost.macs,
            "macs_after": macs,
        }

    def ladder(self) -> Ladder:
        """From the fewest units to all: by uniform shares, or along the ranking of all units together."""
        return budget.shares(self.free, self.multiple) if self.ranking == "layer" else _ranked(self)

    def at_share(self, share: float) -> Counts:
        """How many units stay at a kept share: of each group, or of all groups together."""
        if self.ranking == "layer":
            return budget.uniform(self.free, share, self.multiple, self.rounding)
        wanted = share * sum(group.units for group in self.free) + 1e-9
        counts = budget.search(self.ladder(), lambda counts: sum(counts.values()) <= wanted, self.free, self.multiple)
        return self.ladder()[0] if counts is None else counts


def staying(group: Group, layer: str, keep: Mapping[str, Places]) -> list[int]:
    """The units of ``layer`` that stay of those that belong to ``group``, ascending; ``keep`` is by group's name."""
    side = group.side(layer)
    stays = np.isin(side.units, keep[group.name]) if group.name in keep else np.ones(len(side.units), dtype=bool)
    found: list[int] = np.unique(side.places[stays]).tolist()
    return found


def _first(group: Group, count: int) -> Places:
    """As many units as asked, equally many of each block."""
    each = count // group.step
    return np.sort(np.concatenate([np.flatnonzero(group.block == one)[:each] for one in range(group.step)]))


def _ranked(draft: Draft) -> Ladder:
    """Rungs of the global ranking: each adds the step, of any group, whose units have the highest mean score."""
    steps = []
    for group in draft.free:
        at = budget.levels(group, draft.multiple)
        own = draft.scores[group.name].scores
        size = own.abs().mean()
        own = own / size if size > 0 else own
        blocks = [own[torch.from_numpy(group.block == one)].sort(descending=True).values for one in range(group.step)]
        ordered = torch.stack(blocks)
        pairs = list(itertools.pairwise(at))
        means = [ordered[:, before // group.step : after // group.step].mean() for before, after in pairs]
        for (before, after), gain in zip(pairs, rounded(torch.tensor(means)).tolist(), strict=True):
            steps.append((-gain, before / group.units, group.name, after))
    steps.sort()
    rungs: list[Callable[[], Counts]] = []

    def rung(upto: int) -> Callable[[], Counts]:
        def counts() -> Counts:
            found = {group.name: budget.levels(group, draft.multiple)[0] for group in draft.free}
            for _, _, name, after in steps[:upto]:
                found[name] = max(found[name], after)
            return found

        return counts

    rungs = [rung(upto) for upto in range(len(steps) + 1)]
    place = {(name, after): float(at) for at, (_, _, name, after) in enumerate(steps)}
    return Ladder(rungs, lambda name, count: place[name, count])
