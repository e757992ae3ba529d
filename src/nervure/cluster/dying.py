"""Clusters that die, so that their number is found from an upper bound: which one goes next, and what becomes of it.

One cluster at a time, and the others take its members before the next is looked for:

1. one that has too few samples: a centre with less than ``floor`` of an even share; a component of a mixture with less
   mass than half of the numbers that describe it, as in component annihilation (Figueiredo and Jain 2002);
2. if there is none, the smaller one of the two clusters that one describes as well
   (:func:`nervure.cluster.density.separation`).

A head lets clusters die when it begins, from k-means to convergence on latents that a warm-up has made, before
training pulls parts of one cluster apart; and later when they rest: when its step brings less than :data:`RESTING` of
the samples to another cluster.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nervure.cluster import em, lloyd
from nervure.cluster.density import free_parameters, separation

__all__ = ["RESTING", "nearest_alive", "rests", "thinned_centres", "thinned_mixture", "weakest"]

RESTING = 0.05
"""Share of samples that may still change their cluster by a step."""

STEPS = 5
"""Steps by which the others take a dead cluster's members."""


def nearest_alive(latents: Tensor, centres: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`nervure.cluster.lloyd.nearest` among the centres that are ``alive`` (k,).

    >>> nearest_alive(torch.tensor([[1.0]]), torch.tensor([[9.0], [1.0], [2.0]]), torch.tensor([True, False, True]))[0]
    tensor([2])
    """
    there = torch.nonzero(alive).flatten().to(latents.device)
    chosen, far = lloyd.nearest(latents, centres.to(latents)[there])
    return there[chosen.to(there.device)], far


def rests(before: Tensor, after: Tensor) -> bool:
    """Whether a step changed the cluster of hardly a sample: (n,) each.

    >>> rests(torch.zeros(100), torch.zeros(100)), rests(torch.zeros(3), torch.ones(3))
    (True, False)
    """
    return bool((before != after).double().mean() < RESTING)


def weakest(latents: Tensor, assigned: Tensor, sizes: Tensor, least: float, alive: Tensor) -> tuple[int, str] | None:
    """The cluster that dies next, and why; None if all may live.

    Parameters
    ----------
    latents, assigned : Tensor, (n, d), (n,)
        Samples and their clusters.
    sizes : Tensor, (k,)
        Members or mass of each cluster, in samples.
    least : float
        Below this size a cluster dies.
    alive : Tensor, (k,) bool
        The clusters that still live.

    Examples
    --------
    >>> thirds = torch.arange(60) // 20
    >>> line = torch.arange(60.0, dtype=torch.float64)[:, None] + 60 * (thirds[:, None] == 2)
    >>> weakest(line, thirds, torch.tensor([20.0, 20, 20]), 5, torch.ones(3, dtype=torch.bool))
    (1, 'one with cluster 0')
    """
    there = torch.nonzero(alive).flatten().tolist()
    if len(there) < 2:
        return None
    smallest = min(there, key=lambda cluster: float(sizes[cluster]))
    if float(sizes[smallest]) < least:
        return smallest, "too few samples"
    members = {cluster: latents[assigned == cluster] for cluster in there}
    pairs = [(separation(members[a], members[b]), a, b) for a in there for b in there if a < b]
    gain, one, other = min(pairs)
    if gain > 0:
        return None
    if float(sizes[one]) < float(sizes[other]):
        one, other = other, one
    return other, f"one with cluster {one}"


def thinned_centres(
    latents: Tensor, centres: Tensor, alive: Tensor, floor: float
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Centres (k, d) when no more of them die, which still live (k,), and a note for each that died.

    The dead keep their place in the table, where nothing looks at them.

    Examples
    --------
    >>> latents = torch.cat([torch.linspace(0, 1, 30), torch.linspace(9, 10, 30)])[:, None].double()
    >>> centres = torch.tensor([[0.2], [0.8], [9.5]]).double()
    >>> moved, alive, notes = thinned_centres(latents, centres, torch.ones(3, dtype=torch.bool), 0.2)
    >>> moved[alive].flatten().round(decimals=6).tolist(), notes
    ([0.5, 9.5], ('cluster 1 died: one with cluster 0',))
    """

    def look() -> tuple[Tensor, Tensor, float]:
        chosen, _ = nearest_alive(latents, centres, alive)
        counts = torch.bincount(chosen, minlength=len(centres)).to(torch.float64)
        return chosen, counts, floor * len(latents) / int(alive.sum())

    def settle() -> None:
        nonlocal centres
        for _ in range(STEPS):
            chosen, _ = nearest_alive(latents, centres, alive)
            centres = lloyd.step(lloyd.sums(latents, centres, chosen), centres)

    centres, alive = centres.to(latents), alive.clone().cpu()
    notes = _thin(latents, alive, look, settle)
    return centres, alive, notes


def thinned_mixture(
    latents: Tensor, mixture: em.Mixture, alive: Tensor, scale: float, floor: float, diagonal: bool
) -> tuple[em.Mixture, Tensor, tuple[str, ...]]:
    """A mixture when no more of its components die, which still live (k,), and a note for each that died.

    Dead components have weight 0. ``scale`` is how many samples each latent stands for.
    """
    least = free_parameters(1, mixture.means.shape[1], diagonal) / 2

    def look() -> tuple[Tensor, Tensor, float]:
        joint = mixture.log_joint(latents)
        return joint.argmax(dim=1), joint.softmax(dim=1).sum(dim=0) * scale, least

    def settle() -> None:
        nonlocal mixture
        mixture = without(mixture, alive)
        for _ in range(STEPS):
            mixture = without(em.step(em.sums(latents, mixture), mixture, floor, diagonal), alive)

    alive = alive.clone().cpu()
    mixture = em.Mixture(*(part.to(latents) for part in (mixture.weights, mixture.means, mixture.covariances)))
    notes = _thin(latents, alive, look, settle)
    return mixture, alive, notes


def without(mixture: em.Mixture, alive: Tensor) -> em.Mixture:
    """The mixture in which only components that are ``alive`` (k,) have weight.

    >>> one = em.Mixture(torch.tensor([0.5, 0.25, 0.25]), torch.zeros(3, 1), torch.ones(3, 1, 1))
    >>> without(one, torch.tensor([True, False, True])).weights
    tensor([0.6667, 0.0000, 0.3333])
    """
    weights = mixture.weights * alive.to(mixture.weights.device)
    return em.Mixture(weights / weights.sum(), mixture.means, mixture.covariances)


def _thin(
    latents: Tensor, alive: Tensor, look: Callable[[], tuple[Tensor, Tensor, float]], settle: Callable[[], None]
) -> tuple[str, ...]:
    """Let clusters die one by one: ``look`` gives assignments, sizes and the least size; ``alive`` is changed."""
    notes: list[str] = []
    while True:
        assigned, sizes, least = look()
        found = weakest(latents, assigned, sizes, least, alive)
        if found is None:
            return tuple(notes)
        alive[found[0]] = False
        notes.append(f"cluster {found[0]} died: {found[1]}")
        settle()
