"""What all clusterers minimise: reconstruction, clustering, labels and regularisers (spec deepcluster, 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nervure.cluster.links import Partners
from nervure.cluster.net import ClusterNet
from nervure.cluster.quiet import quiet_norms
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.activity import activity_loss
from nervure.objectives.reconstruction import reconstruction_loss
from nervure.train.runtime import sum_over_ranks
from nervure.train.synchronise import shared_rows

__all__ = ["Clustering"]


@dataclass(frozen=True)
class Clustering:
    """``reconstruction * E1 + weight * E2 + activity + label_weight * E3``, each where it is asked for.

    Parameters
    ----------
    reconstruction : float
        Weight of the reconstruction; 0 where the network has no decoder.
    reduction, distance : str
        How it is measured: ``sum`` or ``mean`` over a sample's values; ``squared`` or ``soft-dtw``.
    restore : bool
        Whether transformed copies are encoded, where the recipe makes some, and reconstructed to the samples.
    weight : float
        Weight of the head's own term, once it is active.
    alone : bool
        Whether the active head's term stands alone, without the reconstruction (DEC).
    activity : three floats
        Weights of affinity, balance and norm of the latents (GBAR; spec deepcluster, S7).
    rectify : bool
        Whether affinity and balance are of the latents' positive parts, not of their signed values.
    label_weight : float
        Weight of the cross-entropy of the labels that are known; 0 never looks at labels.
    labels : Tensor, (samples,), optional
        What supervises, by a sample's position in the data set, -1 where unknown. The data's own labels are never read.
    must, cannot : sequence of pairs
        Positions of samples that belong together, and of samples that do not, with ``link_weight``.

    Examples
    --------
    >>> Clustering(weight=0.2).weight
    0.2
    """

    reconstruction: float = 1.0
    reduction: Literal["mean", "sum"] = "sum"
    distance: Literal["squared", "soft-dtw", "soft-dtw-divergence"] = "squared"
    restore: bool = False
    weight: float = 0.1
    alone: bool = False
    activity: Sequence[float] = (0.0, 0.0, 0.0)
    rectify: bool = True
    label_weight: float = 0.0
    labels: Tensor | None = field(default=None, repr=False, compare=False)
    must: Sequence[Sequence[int]] = ()
    cannot: Sequence[Sequence[int]] = ()
    link_weight: float = 1.0
    partners: Partners | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        for name in ("reconstruction", "weight", "label_weight", "link_weight"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} = {getattr(self, name)}; give 0, which leaves it out, or more")
        if len(self.activity) != 3:
            raise InputError(f"activity = {list(self.activity)}; give three weights: of affinity, balance and norm")
        if len(self.must) + len(self.cannot):
            object.__setattr__(self, "partners", Partners(self.must, self.cannot))

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch, and its parts."""
        if not isinstance(net, ClusterNet):
            raise InputError("the clustering objective needs a clusterer; nervure.cluster makes one")
        restored = batch.copy if self.restore else None
        latents = net.encode(batch.x if restored is None else restored, batch.mask)
        active = bool(net.head.active)
        logs: dict[str, Tensor] = {}
        loss = latents.new_zeros(())
        out: Tensor | None = None
        rebuilds = self.reconstruction > 0 and not (self.alone and active)
        if rebuilds or net.label_layer is not None:
            out = net.decode(net.head.code(latents))
        if rebuilds and out is not None:
            logs["reconstruction"] = reconstruction_loss(out, batch.x, batch.mask, self.reduction, self.distance)
            loss = loss + self.reconstruction * logs["reconstruction"]
        if active and self.weight > 0:
            logs["cluster"] = net.head.loss(latents, batch, self._copies(net, batch))
            loss = loss + self.weight * logs["cluster"]
        if any(self.activity):
            # it is no mean over samples: while training, each process computes it of the whole batch
            whole = shared_rows(latents, net.head.counted) if net.training else latents
            affinity, balance, norm = self.activity
            logs["activity"] = activity_loss(whole, affinity, balance, norm, self.rectify)
            loss = loss + logs["activity"]
        if self.label_weight > 0:
            logs["labels"] = self._labels(net, latents, out, batch)
            loss = loss + self.label_weight * logs["labels"]
        if self.partners is not None and active and net.head.beliefs is not None:
            logs["links"] = self.partners.loss(net.head(latents), batch.index, net.head.beliefs)
            loss = loss + self.link_weight * logs["links"]
        if not logs and net.training:
            raise InputError("nothing is minimised: each term of this epoch weighs 0; give a weight above 0")
        return loss, {name: value.detach() for name, value in logs.items()}

    def _copies(self, net: ClusterNet, batch: Batch) -> Tensor | None:
        """Latents of the transformed copies, which leave the networks' running statistics alone."""
        if batch.copy is None or self.restore:
            return None
        with quiet_norms(net.encoder):
            return net.encode(batch.copy, batch.mask)

    def _labels(self, net: ClusterNet, latents: Tensor, out: Tensor | None, batch: Batch) -> Tensor:
        """Cross-entropy over the samples whose label is known: behind the reconstruction (Eq 4.8), or of the head."""
        if self.labels is None:
            raise InputError("labels are to supervise, and none are given; fit a clusterer with labels=")
        labels = self.labels[batch.index.to(self.labels.device)].to(latents.device)
        known = labels >= 0
        scores = net.label_scores(latents, out)
        losses = functional.cross_entropy(scores, labels, reduction="none", ignore_index=-1)
        # a process's loss counts by its share of the batch; the mean is over the labels that all processes know
        mine = torch.stack([known.sum(), torch.tensor(len(known), device=known.device)]).to(losses.dtype)
        labelled, whole = sum_over_ranks(mine * net.head.counted)
        loss: Tensor = losses.sum() * whole / (labelled.clamp(min=1) * len(known))
        return loss
