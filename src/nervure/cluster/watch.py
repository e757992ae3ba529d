"""Watching a clustering: how many clusters are in use, which died or doubled, and whether latents have scale."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.cluster.heads import Group, Head
from nervure.cluster.revive import duplicates
from nervure.features import agreement

__all__ = ["Health", "health", "quality"]

NO_SCALE = 1e-3
"""Latents with a smaller standard deviation have collapsed (spec deepcluster, 10.10)."""


@dataclass(frozen=True)
class Health:
    """Measures of one phase for the history, and what is wrong, a line each."""

    logs: dict[str, float] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()


@torch.no_grad()
def health(head: Head, group: Group, assigned: Tensor) -> Health:
    """Look at one phase's result: ``assigned`` (total,) are the clusters of all samples.

    >>> from nervure.cluster.heads.centres import CentresHead
    >>> head, group = CentresHead(2, 1), Group.alone(torch.zeros(4, 1))
    >>> health(head, group, torch.zeros(4, dtype=torch.int64)).trouble[0]
    'clusters without a member: 1'
    """
    counts = torch.bincount(assigned, minlength=head.clusters).numpy()
    scale = float(group.variance.mean().sqrt())
    confidence = _confidence(head, group)
    logs = {
        "clusters": float((counts > 0).sum()),
        "effective_clusters": agreement.effective_number(counts),
        "confidence": confidence,
        "latent_spread": scale,
    }
    return Health(logs, tuple(_trouble(head, counts, scale)))


def _trouble(head: Head, counts: NDArray[np.int64], scale: float) -> list[str]:
    found = []
    alive = np.ones(head.clusters, dtype=bool)
    if isinstance(marked := getattr(head, "alive", None), Tensor):  # those that were let die are no trouble
        alive = marked.cpu().numpy()
    if alive.sum() == 1 < head.clusters:
        found.append(f"one cluster is left of {head.clusters}; train latents longer before, or normalise them")
    if (empty := np.flatnonzero((counts == 0) & alive)).size:
        found.append(f"clusters without a member: {', '.join(map(str, empty))}")
    small = np.flatnonzero((counts > 0) & (counts * 5 * alive.sum() < counts.sum()))
    if small.size:
        found.append(f"clusters with less than a fifth of an even share: {', '.join(map(str, small))}")
    prototypes = head.prototypes()
    if prototypes is not None:
        living = prototypes[torch.from_numpy(alive).to(prototypes.device)]
        if (doubled := np.flatnonzero(alive)[duplicates(living).numpy()]).size:
            found.append(f"clusters that lie on another one: {', '.join(map(str, doubled))}")
    if scale < NO_SCALE:
        found.append(f"latents have lost their scale (standard deviation {scale:.1e}); warm up, or normalise latents")
    return found


def _confidence(head: Head, group: Group) -> float:
    """Mean probability of the chosen cluster."""
    highest = head.probabilities(group.latents).max(dim=1).values
    return float(group.reduce(highest.sum(dtype=torch.float64))) / group.total


def quality(labels: NDArray[np.int64], assigned: NDArray[np.int64]) -> dict[str, float]:
    """Agreement with known labels, for watching alone: accuracy after matching, NMI and ARI."""
    known = labels >= 0
    if not known.any():
        return {}
    labels, assigned = labels[known], assigned[known]
    return {
        "acc": agreement.matched_accuracy(labels, assigned),
        "nmi": agreement.normalised_mutual_information(labels, assigned),
        "ari": agreement.adjusted_rand(labels, assigned),
    }
