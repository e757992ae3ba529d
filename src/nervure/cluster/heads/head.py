"""Head: the contract of what assigns latents to clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from nervure.cluster.heads.lens import WIDE
from nervure.cluster.quiet import evaluated
from nervure.data.dataset import Batch

__all__ = ["DEAD", "Group", "Head", "Refreshed"]

CHUNK = 65_536
"""Latents that are assigned at once."""

DEAD = -1e4
"""Log-probability of a cluster that died: 0 when it is made a probability, and finite in sums and exported files."""

AT_ONCE = 1 << 24
"""Values that are looked at in double precision at once."""


@dataclass(frozen=True, eq=False)
class Group:
    """The latents of a whole data set, of which each process holds a part.

    Parameters
    ----------
    latents : Tensor
        (n, latent) of this process; (n, w) where they are seen through a lens.
    total : int
        Samples over all processes.
    places : Tensor
        (n,) positions of this process's samples among all, from 0 to ``total`` - 1.
    reduce : callable
        Adds a tensor up over all processes; the same on each.
    seed : int
        Decides what is drawn.
    lens : Tensor, optional
        (latent, w), see :meth:`Head.lens`.
    last : bool
        Whether no training follows: then nothing is repaired that only training could make good.
    """

    latents: Tensor
    total: int
    places: Tensor
    reduce: Callable[[Tensor], Tensor]
    seed: int = 0
    lens: Tensor | None = None
    last: bool = False

    @property
    def points(self) -> Tensor:
        """Where the samples lie: their latents, or the projection of these to fewer values."""
        return self.latents if self.lens is None else self.latents[:, :WIDE]

    @classmethod
    def alone(cls, latents: Tensor, seed: int = 0) -> Group:
        """All latents in this process."""
        return cls(latents, len(latents), torch.arange(len(latents)), lambda value: value, seed)

    def moments(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each column of ``values`` (n, ...), of this process's samples, over all processes."""
        wide = values.to(torch.float64)
        mean = self.reduce(wide.sum(dim=0)) / max(1, self.total)
        return mean, self.reduce((wide - mean.to(wide)).square().sum(dim=0)) / max(1, self.total)

    def rows(self, places: Tensor) -> Tensor:
        """The latents at ``places`` (m,) of all, the same on every process: (m, latent) float64."""
        found = torch.zeros(len(places), self.latents.shape[1], dtype=torch.float64)
        order = torch.full((self.total,), -1, dtype=torch.int64)
        order[self.places] = torch.arange(len(self.places))
        mine = order[places] >= 0
        found[mine] = self.latents[order[places[mine]]].to("cpu", torch.float64)
        return self.reduce(found)

    def sample(self, most: int) -> Tensor:
        """At most ``most`` latents, drawn by the seed; all, in order, if there are no more."""
        return self.rows(self.chosen(self.total, most, self.seed))

    @staticmethod
    def chosen(total: int, most: int, seed: int) -> Tensor:
        """Places of at most ``most`` of ``total`` samples, ascending, drawn by the seed."""
        if total <= most:
            return torch.arange(total)
        generator = torch.Generator().manual_seed(seed)
        return torch.randperm(total, generator=generator)[:most].sort().values

    def draw(self, count: int, salt: int = 0) -> Tensor:
        """``count`` different latents at random: (count, latent) float64."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + salt) % 2**63)
        return self.rows(torch.randperm(self.total, generator=generator)[:count])

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """The points (m, w) in double precision, as many at once as memory bears, and their place among this process's.

        >>> [part.shape for _, part in Group.alone(torch.zeros(4, 1)).parts()]
        [torch.Size([4, 1])]
        """
        rows = max(1, AT_ONCE // max(1, self.points.shape[1]))
        for start in range(0, len(self.points), rows):
            yield slice(start, start + rows), self.points[start : start + rows].to(torch.float64)

    @cached_property
    def variance(self) -> Tensor:
        """Of each value of a point, over all processes: (w,) float64.

        >>> Group.alone(torch.tensor([[0.0], [2.0], [10.0], [12.0]])).variance
        tensor([26.], dtype=torch.float64)
        """
        zero = self.points.new_zeros(self.points.shape[1], dtype=torch.float64)
        mean = self.reduce(sum((part.sum(dim=0) for _, part in self.parts()), start=zero)) / self.total
        apart = sum(((part - mean).square().sum(dim=0) for _, part in self.parts()), start=zero)
        return self.reduce(apart) / self.total


@dataclass(frozen=True, eq=False)
class Refreshed:
    """What a cluster phase found.

    ``assigned`` (n,) are this process's samples' clusters by the parameters *before* the phase's update, which the
    next epoch pulls them to; ``logs`` goes into the history; ``repaired`` says in a few words what was done to
    clusters that had died; ``renewed`` are trained parameters that were set anew, whose optimizer state is void.
    """

    assigned: Tensor
    logs: dict[str, float] = field(default_factory=dict)
    repaired: tuple[str, ...] = ()
    renewed: tuple[Tensor, ...] = ()


class Head(nn.Module):
    """Assigns latents to clusters: ``head(latents)`` (n, latent) -> log-probabilities (n, clusters).

    ``active`` says whether the head takes part in training; before that it knows nothing. ``stored`` holds a cluster
    for each sample of the data set, by position, where training pulls samples to the cluster that they had at the
    last phase; ``beliefs`` (samples, clusters) each sample's probabilities then, where links between samples ask;
    ``aim`` what :meth:`aims` gave for each. A head whose class says ``moves`` follows each step by :meth:`move`.
    ``counted`` is False on a process that has no sample of this batch: it takes part with one that must not count.
    """

    active: Tensor
    counted: bool = True
    moves: ClassVar[bool] = False
    costs_nothing: ClassVar[bool] = True
    """Distances to a few centres are not counted beside an encoder's layers; dense layers in a head are."""

    def __init__(self, clusters: int, latent: int) -> None:
        super().__init__()
        self.clusters = clusters
        self.latent = latent
        self.register_buffer("active", torch.tensor(False))
        self.stored: Tensor | None = None
        self.beliefs: Tensor | None = None
        self.aim: Tensor | None = None

    def assign(self, latents: Tensor) -> Tensor:
        """The most probable cluster of each latent: (n,) int64, of equals the first; in evaluation mode."""
        with evaluated(self):
            return torch.cat([self(part).argmax(dim=1) for part in latents.split(CHUNK)])

    @torch.no_grad()
    def probabilities(self, latents: Tensor) -> Tensor:
        """Each latent's probability of each cluster (n, clusters), in evaluation mode."""
        with evaluated(self):
            return torch.cat([self(part).exp() for part in latents.split(CHUNK)])

    def lens(self) -> Tensor | None:
        """What phases see wide latents through (latent, w); None: they see latents themselves."""
        return None

    @contextmanager
    def seen_through(self, lens: Tensor | None) -> Iterator[None]:
        """Within, the head works on what its lens shows; afterwards on latents again, with what it learned."""
        yield

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """The clustering term of a batch: a mean over samples; ``copies`` are the transformed copies' latents."""
        raise NotImplementedError

    def code(self, latents: Tensor) -> Tensor:
        """What the decoder reads while training, where that is not the latents (n, latent) themselves."""
        return latents

    def aims(self, group: Group) -> Tensor | None:
        """What training pulls each of this process's samples to until the next phase (n, ...), if not ``stored``."""
        return None

    def move(self, latents: Tensor, index: Tensor, reduce: Callable[[Tensor], Tensor]) -> None:
        """After a step: this process's part of the batch, encoded by the moved network, and its positions."""

    def begin(self, group: Group) -> None:
        """Set the parameters from the data's latents, and become active."""
        self.active.fill_(True)

    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """After an epoch, the first since the head began being 1: assign all, then set what is not trained."""
        return Refreshed(self.assign(group.latents))

    def settle(self, group: Group) -> None:
        """After the last epoch: fit to convergence what a method fits only once, on the final latents."""

    def prototypes(self) -> Tensor | None:
        """A latent that stands for each cluster (clusters, latent), if there is such a thing."""
        return None

    def _stored(self, latents: Tensor, batch: Batch) -> Tensor:
        """The clusters that training pulls a batch to: those of the last phase, or the nearest ones now."""
        if self.training and self.stored is not None:
            return self.stored.to(latents.device)[batch.index.to(latents.device)]
        with torch.no_grad():
            return self.assign(latents)
