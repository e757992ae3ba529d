"""Scores of groups: layers judged by one criterion or several, and what that makes of units they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from nervure import objectives
from nervure.data.counter import order
from nervure.data.dataset import Dataset, Indices
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe, Samples, judge, rounded, select
from nervure.nets.structure.groups import Group, Places
from nervure.objectives import Objective
from nervure.prune.criteria import criteria as table
from nervure.prune.criteria import make

__all__ = [
    "Combine",
    "Score",
    "combined",
    "labelled",
    "named",
    "sample",
    "sampled",
    "scored",
    "verdicts",
]

Combine = Literal["rank", "vote"]
Verdicts = Mapping[str, Mapping[str, Judgement]]


@dataclass(frozen=True, eq=False)
class Score:
    """Scores of a group's units (units,), in units of their mean magnitude, and what decides between equals."""

    scores: Tensor
    tiebreak: Tensor | None = None

    def best(self, count: int, block: Tensor) -> Tensor:
        """The ``count`` units to keep, ascending: equally many of each block."""
        blocks = int(block.max()) + 1
        parts = []
        for one in range(blocks):
            at = (block == one).nonzero().flatten()
            tiebreak = None if self.tiebreak is None else self.tiebreak[at]
            parts.append(at[select(self.scores[at], count // blocks, tiebreak)])
        return torch.cat(parts).sort().values


def named(criterion: str | Criterion | Sequence[str | Criterion], seed: int = 0) -> dict[str, Criterion]:
    """Criteria by name, made with their defaults, and with ``seed`` where they take one."""
    given = list(criterion) if isinstance(criterion, tuple | list) else [criterion]
    if not given:
        raise InputError("give at least one criterion")
    found: dict[str, Criterion] = {}
    for one in given:
        if isinstance(one, str):
            found[one] = make(one, seed)
        elif isinstance(one, Criterion):
            found[table.name_of(one)] = one
        else:
            raise InputError(f"{one!r} is no criterion; give a name or a Criterion")
    if len(found) < len(given):
        raise InputError("a criterion is given twice; give each once")
    return found


def sample(ds: Dataset, count: int | None, seed: int) -> Indices:
    """Positions of ``count`` training samples, as many of each class as there are; the same for the same seed.

    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.zeros((60, 2)), np.repeat([0, 1, 1], 20), validation=0, test=0)
    >>> np.bincount(ds.y[sample(ds, 10, seed=0)]).tolist()
    [5, 5]
    """
    at = ds.indices("train")
    if count is not None and count < 1:
        raise InputError(f"samples={count}; give 1 or more")
    if count is None or count >= len(at):
        return at
    drawn = at[order(len(at), seed, 0x5EED)]
    if ds.task != "classification" or ds.y is None:
        return np.sort(drawn[:count])
    labels = ds.y[drawn].astype(np.int64)
    turn = np.empty(len(drawn), dtype=np.int64)
    for one in np.unique(labels):
        turn[labels == one] = np.arange((labels == one).sum())
    # Unknown labels come last; otherwise the classes take turns.
    rank = np.lexsort((np.arange(len(drawn)), turn, labels < 0))
    return np.sort(drawn[rank[:count]])


def sampled(
    ds: Dataset | None,
    criteria: Mapping[str, Criterion],
    count: int | None,
    seed: int,
    *,
    size: int,
    example: Sequence[Tensor],
    objective: Objective | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """The sample that these criteria are to judge on: with labels where they need them."""
    labels = [name for name, one in criteria.items() if one.needs_labels or one.needs_gradient]
    if ds is None:
        if labels:
            raise InputError(f"criterion {labels[0]!r} needs labelled data; give data")
        return Samples(None, np.empty(0, dtype=np.int64), size, example)
    if labels and ds.y is None and objective is None:
        raise InputError(f"criterion {labels[0]!r} needs labels, which the data has not; take one that does without")
    at = sample(ds, count, seed)
    return Samples(ds, labelled(ds, at) if labels else at, size, example, progress)


def labelled(ds: Dataset, at: Indices) -> Indices:
    """Those of the samples ``at`` whose class is known; all of them where labels are no classes.

    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.zeros((4, 2)), np.array([0, -1, 1, 1]), validation=0, test=0)
    >>> labelled(ds, np.arange(4))
    array([0, 2, 3])
    """
    if ds.y is None or ds.task != "classification":
        return at
    known = at[ds.y[at].astype(np.int64) >= 0]
    if not len(known):
        raise InputError(f"{ds.source}: no training sample has a known label")
    return known


def verdicts(
    net: nn.Module,
    batches: Samples,
    criteria: Mapping[str, Criterion],
    layers: Sequence[Layer],
    *,
    objective: Objective | None,
    probe: Probe | None,
    device: torch.device | str | None = None,
) -> dict[str, dict[str, Judgement]]:
    """Judge the layers by all criteria, in one pass over the sample where they want no more."""
    gradient = batches.ds is not None and any(one.needs_gradient for one in criteria.values())
    loss = objectives.objective_of(batches.ds.task, objective) if gradient and batches.ds is not None else None
    return judge(net, batches, criteria, layers=layers, objective=loss, probe=probe, device=device)


def scored(groups: Sequence[Group], found: Verdicts, combine: Combine = "rank") -> dict[str, Score]:
    """What the verdicts on layers make of groups.

    A group's score by one criterion is the mean over its layers of their scores, each divided by its layer's mean
    magnitude. Several criteria are combined within the group: see :func:`combined`.
    """
    made = {}
    for group in groups:
        each = [_of_group(group, by_layer) for by_layer in found.values()]
        made[group.name] = each[0] if len(each) == 1 else combined(each, combine)
    return made


def _of_group(group: Group, by_layer: Mapping[str, Judgement]) -> Score:
    scores, ties = [], []
    for layer in group.layers:
        judged, side = by_layer[layer], group.side(layer)
        if judged.scores.shape != (side.size,):
            raise InputError(f"layer {layer!r}: a criterion of units gave scores {tuple(judged.scores.shape)}")
        scores.append(_by_unit(_scaled(judged.scores), side.units, side.places))
        if judged.tiebreak is not None:
            ties.append(_by_unit(_scaled(judged.tiebreak), side.units, side.places))
    tiebreak = torch.stack(ties).mean(0) if len(ties) == len(group.layers) else None
    return Score(torch.stack(scores).mean(0), tiebreak)


def _scaled(values: Tensor) -> Tensor:
    wide = values.detach().to(device="cpu", dtype=torch.float64)
    size = wide.abs().mean()
    return wide / size if size > 0 else wide


def _by_unit(values: Tensor, units: Places, places: Places) -> Tensor:
    at = torch.from_numpy(units)
    count = torch.bincount(at)
    total = torch.zeros(len(count), dtype=values.dtype).index_add_(0, at, values[torch.from_numpy(places)])
    mean: Tensor = total / count
    return mean


def combined(each: Sequence[Score], how: Combine = "rank") -> Score:
    """Several criteria as one: by the mean of their ranks, or by their votes for their better half, then ranks.

    >>> one, two = Score(torch.tensor([1.0, 2.0, 3.0])), Score(torch.tensor([5.0, 9.0, 8.0]))
    >>> combined([one, two]).scores
    tensor([0.0000, 1.5000, 1.5000], dtype=torch.float64)
    >>> combined([Score(torch.tensor([1.0, 1.0 + 1e-6])), Score(torch.tensor([2.0, 2.0 - 1e-6]))]).scores
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    ranks = torch.stack([_ranks(one) for one in each]).mean(0)
    if how == "rank":
        return Score(ranks)
    if how != "vote":
        raise InputError(f"combine={how!r}; take 'rank' or 'vote'")
    votes = torch.zeros_like(ranks)
    for one in each:
        votes[select(one.scores, -(-len(ranks) // 2), one.tiebreak)] += 1
    return Score(votes, ranks)


def _ranks(one: Score) -> Tensor:
    """Ranks from 0, scores that are equal at five digits sharing the mean of theirs."""
    each = [rounded(values) for values in (one.scores, one.tiebreak) if values is not None]
    _, place, count = torch.stack(each, dim=1).unique(dim=0, return_inverse=True, return_counts=True)
    ends = count.cumsum(0).to(torch.float64)
    shared: Tensor = ends - (count + 1) / 2
    return shared[place]
