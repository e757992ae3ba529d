"""View: a clusterer's latents and assignments of the samples that figures show, computed once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.cluster.encode import encoded
from nervure.cluster.heads import Group
from nervure.cluster.heads.scores import ScoresHead
from nervure.cluster.net import ClusterNet
from nervure.cluster.watch import health
from nervure.data.counter import order
from nervure.data.dataset import Dataset, Indices
from nervure.errors import InputError
from nervure.features import agreement
from nervure.store.run import Run

__all__ = ["View", "look", "trouble"]

LOOKED_AT = 20_000
"""Samples that are encoded for figures; of more, evenly drawn ones are."""

AT_ONCE = 1 << 26
"""Values of latents that are held for them, at most: fewer samples, where latents are wide."""


@dataclass(frozen=True, eq=False)
class View:
    """What figures are made of.

    Parameters
    ----------
    run, ds : Run, Dataset
        The clusterer's, and the data as its network reads it.
    at : array (n,)
        Positions in ``ds`` of the samples looked at.
    latents, logs : array (n, latent), (n, clusters)
        Of these samples: latents, and log-probabilities.
    some : array (m,)
        Rows of these, the ones that are drawn one by one.
    seed : int
        Decides what is random.
    """

    run: Run
    ds: Dataset
    at: Indices
    latents: NDArray[np.float32]
    logs: NDArray[np.float64]
    some: Indices
    seed: int = 0

    @property
    def net(self) -> ClusterNet:
        """The clusterer."""
        assert isinstance(self.run.net, ClusterNet)
        return self.run.net

    @property
    def count(self) -> int:
        """Clusters."""
        return int(self.logs.shape[1])

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which clusters (clusters,) live: those of some heads die while training."""
        marked = getattr(self.net.head, "alive", None)
        return marked.cpu().numpy() if isinstance(marked, Tensor) else np.ones(self.count, dtype=bool)

    def of(self, count: int) -> str:
        """So many of the samples that there are to look at, in words."""
        whole = len(_learnt(self.ds))
        kind = "samples" if whole == len(self.ds) else "training samples"
        return f"all {kind}" if count == whole else f"{count} of {whole} {kind}"

    @property
    def looked(self) -> str:
        """What a title says where not all samples were looked at."""
        said = self.of(len(self.at))
        return "" if said.startswith("all") else f" ({said} looked at)"

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """The cluster of each sample (n,)."""
        return np.asarray(self.logs.argmax(axis=1), dtype=np.int64)

    @cached_property
    def sure(self) -> NDArray[np.float64]:
        """The probability of that cluster (n,)."""
        return np.asarray(np.exp(self.logs.max(axis=1)))

    @cached_property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels (n,) where the data has any, -1 where unknown."""
        if self.ds.task != "classification" or self.ds.y is None:
            return None
        found = self.ds.y[self.at].astype(np.int64)
        return found if (found >= 0).any() else None

    @cached_property
    def matching(self) -> dict[int, int]:
        """The label that each cluster is matched to, for those that are."""
        return {} if self.labels is None else agreement.matching(self.labels, self.clusters)

    def commonest(self, cluster: int) -> tuple[int, float] | None:
        """The label that most of a cluster's members have, and its share, of those known; None where none is."""
        known = np.zeros(0, dtype=np.int64) if self.labels is None else self.labels[self.clusters == cluster]
        known = known[known >= 0]
        if not len(known):
            return None
        counts = np.bincount(known)
        return int(counts.argmax()), float(counts.max() / len(known))

    @cached_property
    def closeness(self) -> NDArray[np.float64]:
        """How near each sample is to the middle of its cluster (n,): minus the distance, or the score."""
        prototypes = self.net.head.prototypes()
        if prototypes is None:
            return np.asarray(self.logs.max(axis=1))
        own = prototypes.detach().cpu().numpy()[self.clusters]
        return np.asarray(-np.linalg.norm(self.latents - own, axis=1))

    @cached_property
    def silhouettes(self) -> NDArray[np.float64] | None:
        """The silhouette of each sample that is drawn (m,), in latent space; None with fewer than two clusters."""
        from sklearn.metrics import silhouette_samples

        chosen = self.clusters[self.some]
        if not 2 <= len(np.unique(chosen)) < len(chosen):
            return None
        return np.asarray(silhouette_samples(self.latents[self.some].astype(np.float64), chosen))

    @property
    def space(self) -> NDArray[np.float32]:
        """What is shown as the latent space (n, d): latents, or the scores of a head whose clusters are neurons."""
        return self.latents if self.net.head.prototypes() is not None else self.scores

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """What the head gives before it is made probabilities of (n, clusters)."""
        with torch.no_grad():
            return np.asarray(torch.cat([self._scored(part) for part in torch.from_numpy(self.latents).split(4096)]))

    def score(self, x: Tensor) -> Tensor:
        """The same of samples (m, ...) as network input; differentiable."""
        return self._scored(self.net.eval().encode(x))

    def _scored(self, latents: Tensor) -> Tensor:
        head = self.net.head
        out: Tensor = head.normal(latents) if isinstance(head, ScoresHead) else head(latents)
        return out

    def samples(self, rows: Indices) -> tuple[Tensor, Tensor | None]:
        """Samples (m, ...) at these rows as network input, and their mask."""
        batch = self.ds.batch(self.at[rows])
        return batch.x, batch.mask

    def called(self, row: int) -> str:
        """What a sample is called."""
        return self.ds.called(int(self.at[row]))

    def label(self, row: int) -> str:
        """What a sample's label is called; nothing if it is unknown."""
        if self.labels is None or self.labels[row] < 0:
            return ""
        return self.ds.names[int(self.labels[row])]


def look(run: Run, ds: Dataset, *, most: int = 2000, seed: int = 0, split: str | None = None) -> View:
    """Encode a run's training samples, or a split's, at most 20,000, and choose at most ``most`` of them to be drawn.

    Of latents with more than 3,355 values fewer samples are encoded, so that memory is bounded.

    >>> import nervure as nv
    >>> ds = nv.data.from_arrays(np.random.default_rng(0).normal(size=(40, 4)), validation=0, test=0)
    >>> model = nv.cluster.DCAEKMeans(2, epochs=1, network_options={"widths": [8]}, random_state=0).fit(ds)
    >>> view = look(model.run_, ds, most=10)
    >>> view.latents.shape, view.logs.shape, view.some.shape
    ((40, 2), (40, 2), (10,))
    """
    net = run.net
    if not isinstance(net, ClusterNet):
        raise InputError("figures of clusters need a clusterer's run")
    ds = dataclasses.replace(ds, preprocessing=run.preprocessing)
    most_looked_at = min(LOOKED_AT, max(most, AT_ONCE // net.head.latent))
    at = _some(_learnt(ds) if split is None else ds.indices(split), most_looked_at, seed)
    latents, start = torch.empty(len(at), net.head.latent), 0
    for where, one in encoded(net, ds, at):
        latents[start : start + len(where)] = one
        start += len(where)
    with torch.no_grad():
        logs = torch.cat([net.head(part) for part in latents.split(4096)]).log_softmax(dim=1)
    some = np.sort(_some(np.arange(len(at)), most, seed + 1))
    return View(run, ds, at, latents.numpy(), logs.numpy().astype(np.float64), some, seed)


def trouble(view: View) -> tuple[str, ...]:
    """What is wrong with the clusters, a line each: empty, tiny or doubled ones, latents without scale."""
    group = Group.alone(torch.from_numpy(view.latents))
    return health(view.net.head, group, torch.from_numpy(view.clusters)).trouble


def _learnt(ds: Dataset) -> Indices:
    """The training samples; all where there are no splits."""
    return ds.indices("train" if "train" in ds.splits else None)


def _some(at: Indices, most: int, seed: int) -> Indices:
    """At most so many of the positions, drawn by the seed, in order."""
    if len(at) <= most:
        return np.asarray(at)
    return np.asarray(np.sort(at[order(len(at), seed, 0xF16)[:most]]))
