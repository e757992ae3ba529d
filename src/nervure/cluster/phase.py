"""ClusterPhase: between two epochs the head is set in closed form from all latents, and its health is watched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nervure.cluster.besides import label_accuracy, mean_error, within_share
from nervure.cluster.encode import BATCH, encode
from nervure.cluster.heads import Group, Head
from nervure.cluster.net import ClusterNet
from nervure.cluster.objective import Clustering
from nervure.cluster.quiet import quiet_norms
from nervure.cluster.snapshot import snapshot
from nervure.cluster.watch import Health, health, quality
from nervure.data import Loader
from nervure.data.dataset import Batch
from nervure.errors import DivergedError, InputError
from nervure.evidence import Scatter
from nervure.train.callbacks import Callback
from nervure.train.optimizer import Change
from nervure.train.runtime import sum_over_ranks

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["ClusterPhase"]

log = logging.getLogger(__name__)

NOTHING_LEARNT = 0.95
"""The share of the data's variance that a reconstruction's error must fall below."""

SNAPSHOT = 2000
"""Latents that are kept of an epoch."""


class ClusterPhase(Callback):
    """The cluster phase of every method (spec deepcluster, 3).

    Parameters
    ----------
    warmup : int
        Epochs before the head takes part; 0: from the first step on. As many as there are epochs: never, and the head
        begins on the final latents.
    settle : bool
        Whether the head is fitted to convergence on the final latents in the end.
    tolerance, patience : float, int
        Training ends when less than this share of samples change their cluster and none had to be revived, so many
        epochs in a row; a patience of 0 never ends it.
    snapshots : sequence of int
        Epochs after which latents of at most 2,000 samples are kept for figures; 0 is before the first.

    The history's rows gain ``clusters`` (those with members), ``effective_clusters``, ``changed``, ``confidence`` and
    ``latent_spread``; where clusters have a middle, ``within_share``, the share of the latents' variance that is
    within clusters; where labels supervise, ``label_accuracy``, the share of them that is predicted; where the data has
    labels, which training never looks at, ``acc``, ``nmi`` and ``ari``. Where hardly a sample moved before the last
    epoch came, the last row says so as ``ended``.
    """

    def __init__(
        self,
        warmup: int = 0,
        settle: bool = False,
        tolerance: float = 0.001,
        patience: int = 5,
        snapshots: Sequence[int] = (),
    ) -> None:
        if warmup < 0 or patience < 0 or not 0 <= tolerance <= 1:
            raise InputError(
                f"cluster-phase: warmup = {warmup}, patience = {patience}, tolerance = {tolerance}; give whole numbers "
                "from 0, and a share"
            )
        self.warmup, self.settle, self.tolerance, self.patience = warmup, settle, tolerance, patience
        self.snapshots = tuple(snapshots)
        self.kept: dict[str, Tensor] = {}
        self.still = 0
        self._before: Tensor | None = None
        self._head: Head | None = None
        self._loader: Loader | None = None
        self.trouble: list[str] = []

    def start(self, loop: Loop) -> None:
        """The head's first parameters, where it takes part from the first step on."""
        net = self._net(loop)
        self._loader = loop.train_data.in_order(BATCH)
        if len(loop.ds.indices("train")) < net.head.clusters:
            raise InputError(
                f"{loop.ds.source}: {len(loop.ds.indices('train'))} samples cannot make {net.head.clusters} clusters"
            )
        if self.warmup and 0 not in self.snapshots:
            return
        with self._latents(loop) as group:
            if not self.warmup:
                net.head.begin(group)
                self._store(loop, group, net.head.assign(group.latents))
            self._snap(0, group)

    def after_step(self, loop: Loop, batch: Batch) -> None:
        """Heads that follow each step see the batch again, through the moved network."""
        head = self._net(loop).head
        if not head.moves or not bool(head.active):
            return
        index = batch.index[: len(batch.index) if head.counted else 0]
        if loop.recipe.augment and len(index):  # clusters are of samples as they are
            batch = loop.ds.batch(index.cpu().numpy()).to(batch.x.device)
        mask = None if batch.mask is None else batch.mask[: len(index)]
        with torch.no_grad(), quiet_norms(loop.net):
            head.move(self._net(loop).encode(batch.x[: len(index)], mask), index, sum_over_ranks)

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> Change | None:
        """The cluster phase, and a row's measures of it."""
        net, epoch = self._net(loop), loop.epoch
        if epoch < self.warmup:
            if epoch in self.snapshots:
                with self._latents(loop) as group:
                    self._snap(epoch, group)
            return None
        notes: tuple[str, ...] = ()
        with self._latents(loop) as group:
            if not bool(net.head.active):
                net.head.begin(group) if epoch < loop.recipe.epochs or not self.settle else net.head.settle(group)
                assigned = net.head.assign(group.latents)
            else:
                found = net.head.refresh(group, epoch - self.warmup)
                assigned, notes = found.assigned, found.repaired
                row.update(found.logs)
                for parameter in found.renewed:
                    loop.optimizer.state.pop(parameter, None)
            changed = self._store(loop, group, assigned)
            self._snap(epoch, group)
            self._watch(loop, row, group, changed, notes)
        self.still = self.still + 1 if changed < self.tolerance and not notes else 0
        if self.patience and self.still >= self.patience:
            loop.enough = True
            if epoch < loop.recipe.epochs:
                row["ended"] = (
                    f"ended after {epoch} of {loop.recipe.epochs} epochs: hardly a sample changed its cluster for "
                    f"{self.patience} of them; patience=0 goes on"
                )
        return None

    def finish(self, loop: Loop) -> None:
        """Fit what is fitted once, and leave the figures of the way there."""
        net = self._net(loop)
        if self.settle and (self.warmup < loop.epoch or not bool(net.head.active)):
            with self._latents(loop) as group:
                net.head.settle(group)
        if not bool(net.head.active):
            with self._latents(loop) as group:
                net.head.begin(group)
        net.head.stored = net.head.beliefs = net.head.aim = None
        for name, latents in self.kept.items():
            loop.evidence[f"snapshot-{name}"] = self._figure(loop, int(name), latents)
        for line in self.trouble:
            log.warning("%s after %d epochs", line, loop.epoch)
        if ended := loop.history[-1].get("ended"):
            log.info("training %s", ended)
        self._check_reconstruction(loop)

    def state_dict(self) -> dict[str, Any]:
        """The last assignment, snapshots, and how long nothing has changed."""
        before = torch.zeros(0, dtype=torch.int64) if self._before is None else self._before
        beliefs, aim = (None, None) if self._head is None else (self._head.beliefs, self._head.aim)
        return {
            "before": before, "beliefs": beliefs, "kept": self.kept, "still": self.still,
            "trouble": list(self.trouble), "aim": aim,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        before = state["before"].cpu()
        self._before = before if len(before) else None
        self.kept = {name: value.cpu() for name, value in state["kept"].items()}
        self.still = int(state["still"])
        self.trouble = list(state["trouble"])
        if self._head is not None and self._before is not None:
            self._head.stored, self._head.beliefs, self._head.aim = state["before"], state["beliefs"], state["aim"]

    def _net(self, loop: Loop) -> ClusterNet:
        if not isinstance(loop.net, ClusterNet):
            raise InputError("callback 'cluster-phase' needs a clusterer; nervure.cluster makes one")
        self._head = loop.net.head
        return loop.net

    @contextmanager
    def _latents(self, loop: Loop) -> Iterator[Group]:
        """All latents, with the head set to see them as they are held."""
        group = self._encode(loop)
        with torch.no_grad(), self._net(loop).head.seen_through(group.lens):
            yield group

    def _encode(self, loop: Loop) -> Group:
        assert self._loader is not None
        total = len(loop.ds.indices("train"))
        group = encode(self._net(loop), self._loader, total, loop.recipe.seed)
        group = dataclasses.replace(group, last=loop.epoch >= loop.recipe.epochs)
        broken = (~torch.isfinite(group.latents)).any(dim=1).sum().to(torch.float64)
        if float(group.reduce(broken)):
            raise DivergedError(
                f"training diverged by epoch {loop.epoch}: latents are not finite; lower lr, or set clip"
            )
        return group

    def _store(self, loop: Loop, group: Group, assigned: Tensor) -> float:
        """Keep every sample's cluster, by its position in the data set; the share that changed."""
        head, at = self._net(loop).head, torch.from_numpy(loop.ds.indices("train"))
        head.stored = _by_position(assigned, group, at, len(loop.ds))
        stored = head.stored.cpu()
        changed = 1.0 if self._before is None else float((stored[at] != self._before[at]).double().mean())
        self._before = stored
        if getattr(loop.objective, "partners", None) is not None:
            head.beliefs = _by_position(head.probabilities(group.latents), group, at, len(loop.ds))
        aims = head.aims(group)
        head.aim = None if aims is None else _by_position(aims, group, at, len(loop.ds))
        return changed

    def _check_reconstruction(self, loop: Loop) -> None:
        """Warn where the last epoch's reconstruction, if it had one, is hardly better than the mean sample."""
        objective, error = loop.objective, loop.history[-1].get("train_reconstruction")
        if not isinstance(objective, Clustering) or not isinstance(error, float) or objective.distance != "squared":
            return
        assert self._loader is not None
        plain = mean_error(self._loader, objective.reduction)
        if error > NOTHING_LEARNT * plain:
            log.warning(
                "after %d epochs samples are reconstructed %s better than by their mean (error %.3g of %.3g); "
                "%s, or with another lr", loop.epoch, "hardly" if error < plain else "no", error, plain,
                "train on with patience=0" if "ended" in loop.history[-1] else "train longer",
            )  # fmt: skip

    def _snap(self, epoch: int, group: Group) -> None:
        if epoch in self.snapshots:
            self.kept[str(epoch)] = group.sample(SNAPSHOT)[:, : group.points.shape[1]].to(torch.float32)

    @staticmethod
    def _figure(loop: Loop, epoch: int, latents: Tensor) -> Scatter:
        at = loop.ds.indices("train")
        return snapshot(epoch, latents, at[Group.chosen(len(at), SNAPSHOT, loop.recipe.seed).numpy()])

    def _watch(
        self,
        loop: Loop,
        row: dict[str, float | int | str | None],
        group: Group,
        changed: float,
        notes: Sequence[str],
    ) -> None:
        net = self._net(loop)
        assert self._before is not None
        at = loop.ds.indices("train")
        assigned = self._before[torch.from_numpy(at)]
        found: Health = health(net.head, group, assigned)
        row |= {"changed": changed, **found.logs}
        if (prototypes := net.head.prototypes()) is not None:
            row["within_share"] = within_share(group, prototypes, assigned)
        if (told := getattr(loop.objective, "labels", None)) is not None:
            row["label_accuracy"] = label_accuracy(net, group, told[torch.from_numpy(at)])
        if loop.ds.task == "classification" and loop.ds.y is not None:
            row |= quality(loop.ds.y[at].astype(np.int64), assigned.numpy())
        if notes:
            row["repaired"] = "; ".join(notes)
        self.trouble = list(found.trouble)
        for line in found.trouble:
            log.info("epoch %d: %s", loop.epoch, line)


def _by_position(values: Tensor, group: Group, at: Tensor, count: int) -> Tensor:
    """Each process's values (n, ...) together, by position in a data set of ``count``; 0 outside the split."""
    whole = values.new_zeros((group.total, *values.shape[1:]))
    whole[group.places.to(values.device)] = values
    placed = values.new_zeros((count, *values.shape[1:]))
    placed[at.to(values.device)] = group.reduce(whole)
    return placed
