"""Ways to search: what is measured, and how many clusterings are made. Spec ssim-kmeans-pruning, 6.1 and 6.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nervure.errors import InputError
from nervure.features.silhouette import Kind
from nervure.features.ssim import Measure
from nervure.prune.ssim.initial import Indices, Init
from nervure.registry import nearest

__all__ = ["EFFORTS", "PROFILES", "Effort", "Profile", "effort_of", "profile_of"]


@dataclass(frozen=True)
class Profile:
    """How filters are compared, and clusterings judged.

    Parameters
    ----------
    measure : Measure
    silhouette : str
        Which silhouette chooses how many clusters.
    init : str
        Where k-means begins: ``"multi-point"`` or ``"k-means++"``.
    lr : float
        Learning rate of the retraining that goes with it.
    """

    measure: Measure = field(default_factory=Measure)
    silhouette: Kind = "distance"
    lr: float = 0.01
    init: Init = "multi-point"


PROFILES: Mapping[str, Profile] = {
    "thesis": Profile(Measure("window3"), "thesis_min", 0.001),
    "corrected": Profile(Measure("kernel", value_map="minmax01"), "distance", 0.01),
}


@dataclass(frozen=True)
class Effort:
    """How many clusterings are made of a layer.

    Parameters
    ----------
    shares : int or None
        The numbers of clusters tried are n/shares, 2n/shares, ... and both ends; None: each from 2 to n - 1.
    runs : int
        Clusterings with different seeds of each.
    near, near_runs : int
        Then all numbers within ``near`` of the best, with ``near_runs`` runs.
    null_shares, null_runs : int
        The same of the layer with its weights shuffled, which no search goes without.
    """

    shares: int | None
    runs: int
    near: int = 0
    near_runs: int = 0
    null_shares: int = 32
    null_runs: int = 2

    def numbers(self, n: int, *, null: bool = False) -> Indices:
        """The numbers of clusters to try of n filters.

        >>> EFFORTS["fast"].numbers(64)[:4], len(EFFORTS["full"].numbers(64))
        (array([2, 4, 6, 8]), 62)
        """
        shares = self.null_shares if null else self.shares
        if shares is None:
            return np.arange(2, n)
        tried = (np.arange(1, shares) * 2 * n + shares) // (2 * shares)
        tried = np.concatenate([[2, n - 1], tried])
        return np.unique(tried[(tried >= 2) & (tried < n)])

    def around(self, n: int, k: int) -> Indices:
        """The numbers to look at again, once k was found best.

        >>> EFFORTS["quick"].around(64, 63)
        array([61, 62, 63])
        """
        return np.arange(max(2, k - self.near), min(n, k + self.near + 1))


EFFORTS: Mapping[str, Effort] = {
    "full": Effort(None, 10, null_runs=3),
    "fast": Effort(32, 5, near=8, near_runs=10),
    "quick": Effort(16, 2, near=2, near_runs=4, null_shares=16),
}


def profile_of(profile: str | Profile) -> Profile:
    """A profile by name, or the one given.

    >>> profile_of("thesis").silhouette
    'thesis_min'
    """
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise InputError(f"unknown profile {profile!r}; {nearest(profile, tuple(PROFILES))}")
    return PROFILES[profile]


def effort_of(effort: str | Effort) -> Effort:
    """An effort by name, or the one given.

    >>> effort_of("fast").runs
    5
    """
    if isinstance(effort, Effort):
        return effort
    if effort not in EFFORTS:
        raise InputError(f"unknown effort {effort!r}; {nearest(effort, tuple(EFFORTS))}")
    return EFFORTS[effort]
