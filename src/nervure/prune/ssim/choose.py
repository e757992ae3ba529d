"""How many filters each layer keeps, from silhouettes over K: spec ssim-kmeans-pruning, 2.5 and 3.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nervure.errors import InputError
from nervure.prune.ssim.initial import Indices

__all__ = ["PUBLISHED", "Scenario", "ScoresByK", "choose", "published"]

Scenario = Literal["A", "B", "C"]

SAME = 0.03  # of n: so near to the layer's own best, a K counts as the same
LENIENT = 0.85
LAST = 4  # one in so many layers, the last ones, may be cut harder

PUBLISHED: Mapping[Scenario, tuple[int, ...]] = {
    "A": (24, 29, 53, 56, 102, 100, 110, 217, 226, 235, 229, 218),
    "B": (20, 23, 45, 45, 90, 90, 90, 180, 180, 180, 180, 180),
    "C": (20, 23, 45, 45, 90, 90, 90, 180, 180, 128, 128, 128),
}
"""Filters kept in the first twelve convolutions of the VGG-16 for CIFAR-10."""


@dataclass(frozen=True, eq=False)
class ScoresByK:
    """Silhouettes of one layer by number of clusters.

    ``k`` (m,) ascending; ``mean`` over runs (ASS), their ``spread`` (population standard deviation), and the
    ``best`` run (LMSS), each (m,).
    """

    k: Indices
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    best: NDArray[np.float64]

    @classmethod
    def of(cls, k: Indices, score: NDArray[np.float64]) -> ScoresByK:
        """From a score a clustering: ``k`` and ``score`` are (runs,).

        >>> ScoresByK.of(np.array([3, 2, 3]), np.array([0.5, 0.1, 0.7])).mean
        array([0.1, 0.6])
        """
        known = np.unique(k)
        groups = [score[k == one] for one in known]
        return cls(known, *(np.array([f(group) for group in groups]) for f in (np.mean, np.std, np.max)))

    @property
    def natural(self) -> int:
        """The K of the highest mean: scenario A."""
        return int(self.k[self.mean.argmax()])

    def best_at(self, k: int) -> float:
        """The best score at ``k``; minus infinity where k was not tried."""
        at = int(np.searchsorted(self.k, k))
        return float(self.best[at]) if at < len(self.k) and self.k[at] == k else -np.inf

    def smallest(self, least: float) -> int:
        """The smallest K whose best score is ``least`` or more."""
        return int(self.k[np.flatnonzero(self.best >= least)[0]])


def choose(tables: Mapping[str, ScoresByK], units: Mapping[str, int], scenario: Scenario) -> dict[str, int]:
    """Filters to keep in each layer.

    Parameters
    ----------
    tables : mapping of str to ScoresByK
        By layer, in the network's order.
    units : mapping of str to int
        How many filters each layer has.
    scenario : str
        ``"A"``: each layer its own best. ``"B"``: one pruning rate for all, as high as every layer's best score
        at it reaches the layer's highest mean; a layer whose own best is within 3 % of n takes the smallest K
        that does. ``"C"``: as B, but the last quarter of the layers share a rate at which 85 % is enough.

    Returns
    -------
    dict of str to int

    Notes
    -----
    B and C compare a best run with a mean over runs, hence are lenient. Rates are multiples of one filter of the
    largest layer; those with a K that was not tried in every layer are not considered.

    Examples
    --------
    >>> table = ScoresByK(np.arange(2, 8), np.array([0.1, 0.2, 0.5, 0.4, 0.2, 0.1]), np.zeros(6), np.full(6, 0.5))
    >>> choose({"conv1": table}, {"conv1": 8}, "A"), choose({"conv1": table}, {"conv1": 8}, "B")
    ({'conv1': 4}, {'conv1': 2})
    """
    if scenario not in get_args(Scenario):
        raise InputError(f"scenario {scenario!r}; give A, B or C")
    if not tables:
        raise InputError("there are no layers to choose for")
    natural = {name: table.natural for name, table in tables.items()}
    if scenario == "A":
        return natural
    kept = _one_rate(tables, units, 1.0)
    for name, k in kept.items():
        if abs(k - natural[name]) <= SAME * units[name]:
            kept[name] = tables[name].smallest(_highest(tables[name]))
    if scenario == "C":
        last = list(tables)[-max(1, (len(tables) + LAST // 2) // LAST) :]
        kept |= _one_rate({name: tables[name] for name in last}, units, LENIENT)
    return kept


def published(scenario: Scenario, names: list[str]) -> dict[str, int]:
    """The published numbers of filters kept, for these twelve layers.

    >>> published("C", [f"conv{i}" for i in range(1, 13)])["conv10"]
    128
    """
    if scenario not in PUBLISHED:
        raise InputError(f"scenario {scenario!r}; give A, B or C")
    if len(names) != len(PUBLISHED[scenario]):
        raise InputError(f"the published lists are for {len(PUBLISHED[scenario])} layers, not {len(names)}")
    return dict(zip(names, PUBLISHED[scenario], strict=True))


def _highest(table: ScoresByK) -> float:
    return float(table.mean.max())


def _one_rate(tables: Mapping[str, ScoresByK], units: Mapping[str, int], share: float) -> dict[str, int]:
    """The fewest filters at one rate with which every layer reaches ``share`` of its highest mean."""
    largest = max(units[name] for name in tables)
    # Halves go up: the published 22.5 is 23.
    at: Callable[[str, int], int] = lambda name, k: (2 * units[name] * k + largest) // (2 * largest)  # noqa: E731
    for k in range(1, largest):
        if all(table.best_at(at(name, k)) >= share * _highest(table) for name, table in tables.items()):
            return {name: at(name, k) for name in tables}
    raise InputError("no rate common to all layers reaches their silhouettes; take keep='natural', or effort='full'")
