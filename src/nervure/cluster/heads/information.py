"""InformationHead: a dense layer whose clusters of a sample and of its copy tell the most about each other (IIC)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nervure.cluster.heads.dense import DenseHead
from nervure.cluster.heads.head import Group, Refreshed
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.mutual import information_loss, joint_distribution
from nervure.train.synchronise import shared_sum

__all__ = ["InformationHead"]

HALVINGS = 20
"""How often at most a division is made gentler, so that it takes nothing from other clusters."""


class InformationHead(DenseHead):
    """Invariant information clustering (Ji, Henriques and Vedaldi 2019).

    The loss is minus the mutual information of a sample's cluster and its copy's. It is no mean over samples: how
    often which clusters meet is added up over all processes, with gradients, before the loss is taken.

    Parameters
    ----------
    entropy_weight : float
        Weight of the clusters' entropy; above 1 it asks for clusters more equal in size.
    patience : int
        A cluster with less than a fifth of an even share at so many phases in a row gets half of the largest one's
        samples, divided along their principal axis; 0: never.
    over : int
        Outputs of a second dense layer, with more clusters, that is trained by the same loss and only serves the
        encoder; 0 for none.

    Examples
    --------
    >>> head = InformationHead(3, 2)
    >>> head(torch.zeros(4, 2)).exp().sum(dim=1).round(decimals=4).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    weak: Tensor

    def __init__(
        self, clusters: int, latent: int, entropy_weight: float = 1.0, patience: int = 5, over: int = 0
    ) -> None:
        super().__init__(clusters, latent)
        if not entropy_weight > 0 or over < 0:
            raise InputError(f"information: entropy_weight = {entropy_weight}, over = {over}; give numbers above 0")
        self.entropy_weight, self.patience = entropy_weight, patience
        self.over = nn.Linear(latent, over) if over else None
        self.register_buffer("weak", torch.zeros(clusters, dtype=torch.int64))

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log-probabilities (n, clusters)."""
        scores: Tensor = self.linear(latents)
        return scores.log_softmax(dim=1)

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """Minus the mutual information, the mean over the layers; without copies a sample stands for its own."""
        beside = latents if copies is None else copies
        layers = [self.linear] if self.over is None else [self.linear, self.over]
        losses = [self._loss(layer(latents).softmax(dim=1), layer(beside).softmax(dim=1)) for layer in layers]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """Assign all samples; a cluster weak for too long divides the largest one."""
        chosen = self.assign(group.latents)
        sizes = group.reduce(torch.bincount(chosen, minlength=self.clusters).to(torch.float64))
        bad = (sizes * 5 * self.clusters < group.total).to(self.weak.device)
        self.weak.copy_(torch.where(bad, self.weak + 1, torch.zeros_like(self.weak)))
        spent = torch.nonzero(self.weak >= self.patience).flatten().tolist() if self.patience and not group.last else []
        notes = []
        for cluster in spent:
            notes.append(self._divide(cluster, chosen, group))
            chosen = self.assign(group.latents)
        return Refreshed(chosen, repaired=tuple(notes), renewed=tuple(self.linear.parameters()) if notes else ())

    def _divide(self, cluster: int, chosen: Tensor, group: Group) -> str:
        """Let ``cluster`` have the half of the largest one that lies on one side along its principal axis.

        The two rows lean away from the largest one's so little that no sample of a third cluster goes to either.
        """
        largest = int(group.reduce(torch.bincount(chosen, minlength=self.clusters).to(torch.float64)).argmax())
        mean, axis, spread = _principal(group.latents[chosen == largest], group.reduce)
        row, bias = self.linear.weight[largest].clone(), self.linear.bias[largest].clone()
        tilt = (axis / spread).to(row)
        others = (chosen != largest) & (chosen != cluster)
        for _ in range(HALVINGS):
            for one, sign in ((largest, 1), (cluster, -1)):
                self.linear.weight[one] = row + sign * tilt
                self.linear.bias[one] = bias - sign * (tilt @ mean.to(row))
            taken = (self.assign(group.latents) != chosen) & others
            if not float(group.reduce(taken.sum().to(torch.float64))):
                break
            tilt = tilt / 2
        self.weak[cluster] = 0
        return f"cluster {cluster} divides cluster {largest}"

    def _loss(self, p: Tensor, q: Tensor) -> Tensor:
        joint = joint_distribution(p, q)
        if not self.training:
            return information_loss(joint, self.entropy_weight)
        count = joint.new_tensor([float(self.counted) * len(p)])
        packed = shared_sum(torch.cat([joint.flatten() * count, count]))
        return information_loss((packed[:-1] / packed[-1]).view_as(joint), self.entropy_weight)


def _principal(members: Tensor, reduce: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, first principal axis and standard deviation along it, of rows that processes hold parts of."""
    wide = members.to(torch.float64)
    packed = reduce(torch.cat([wide.sum(dim=0), wide.new_tensor([float(len(wide))])]))
    count = packed[-1].clamp(min=1)
    mean = packed[:-1] / count
    sizes, axes = torch.linalg.eigh(reduce((wide - mean).T @ (wide - mean)) / count)
    return mean, axes[:, -1], sizes[-1].clamp(min=1e-12).sqrt()
