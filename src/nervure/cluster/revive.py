"""What is done for clusters that died: centres without members, or lying on another one (spec deepcluster, S3)."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.cluster.heads.head import Group
from nervure.cluster.lloyd import Sums, nearest

__all__ = ["EMPTY", "duplicates", "revive"]

EMPTY = ("reseed", "farthest", "split", "keep", "die")
"""Remedies: a random latent, the latent farthest from its centre, half of the largest cluster, none, or removal."""


def duplicates(centres: Tensor, share: float = 1e-3) -> Tensor:
    """Centres that lie on an earlier one, within ``share`` of the typical distance between centres: (k,) bool.

    >>> duplicates(torch.tensor([[0.0], [1.0], [0.0]])).tolist()
    [False, False, True]
    """
    found = torch.zeros(len(centres), dtype=torch.bool)
    if len(centres) < 2:
        return found
    distances = torch.cdist(centres.to("cpu", torch.float64), centres.to("cpu", torch.float64))
    pairs = distances[torch.triu(torch.ones_like(distances, dtype=torch.bool), diagonal=1)]
    near = distances <= share * float(pairs.median()) if float(pairs.median()) > 0 else distances <= 0
    return torch.tril(near, diagonal=-1).any(dim=1)


def revive(centres: Tensor, found: Sums, group: Group, how: str, salt: int) -> tuple[Tensor, tuple[str, ...]]:
    """Centres in which dead ones stand somewhere else, and a note for each.

    Parameters
    ----------
    centres : Tensor, (k, d)
        After the Lloyd step.
    found : Sums
        Of that step.
    group : Group
        The latents.
    how : str
        ``"reseed"``, ``"farthest"``, ``"split"``; with ``"keep"`` and ``"die"``, and where no training follows, nothing
        moves.
    salt : int
        Decides the draw, with the group's seed; the epoch.
    """
    dead = torch.nonzero((found.counts <= 0).cpu() | duplicates(centres)).flatten().tolist()
    if not dead or how in ("keep", "die") or group.last:
        return centres, ()
    moved = centres.clone()
    notes = []
    for number, cluster in enumerate(dead):
        if how == "reseed":
            place = group.draw(1, salt * 1009 + number)[0]
            note = f"cluster {cluster} reseeded"
        elif how == "farthest":
            place = _farthest(moved, group)
            note = f"cluster {cluster} moved to the farthest sample"
        else:
            largest = int(found.counts.argmax())
            place = _half(moved, group, largest, salt * 1009 + number)
            note = f"cluster {cluster} split off cluster {largest}"
        moved[cluster] = place.to(moved)
        notes.append(note)
    return moved, tuple(notes)


def _farthest(centres: Tensor, group: Group) -> Tensor:
    """The latent with the largest distance to its centre, among at most 10,000."""
    some = group.sample(10_000)
    _, far = nearest(some, centres.to(some))
    return some[far.argmax()]


def _half(centres: Tensor, group: Group, cluster: int, salt: int) -> Tensor:
    """A random member of a cluster, among at most 10,000 latents; any latent if it shows none."""
    some = group.sample(10_000)
    chosen, _ = nearest(some, centres.to(some))
    members = some[chosen == cluster]
    if not len(members):
        return group.draw(1, salt)[0]
    generator = torch.Generator().manual_seed((group.seed + salt) % 2**63)
    return members[torch.randint(len(members), (1,), generator=generator)[0]]
