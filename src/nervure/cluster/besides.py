"""What the history tells besides the health of clusters: labels predicted, latents explained, samples reconstructed."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.cluster.heads import Group
from nervure.cluster.net import ClusterNet
from nervure.cluster.quiet import evaluated
from nervure.data import Loader
from nervure.objectives.reconstruction import Reduction, reconstruction_loss
from nervure.train.runtime import sum_over_ranks

__all__ = ["label_accuracy", "mean_error", "within_share"]


@torch.no_grad()
def label_accuracy(net: ClusterNet, group: Group, labels: Tensor) -> float:
    """The share of known labels that the network predicts, apart from how good clusters are (spec deepcluster, S9).

    Parameters
    ----------
    net : ClusterNet
        Its label layer predicts behind the reconstruction; without one clusters stand for labels.
    group : Group
        Latents of all samples.
    labels : Tensor, (total,)
        What supervises, by place among all, -1 where unknown.
    """
    own = labels[group.places].to(group.latents.device)
    known = own >= 0
    right = torch.zeros((), dtype=torch.float64, device=own.device)
    with evaluated(net):
        for latents, wanted in zip(group.latents[known].split(1024), own[known].split(1024), strict=True):
            right += (net.label_scores(latents).argmax(dim=1) == wanted).sum()
    hits, total = group.reduce(torch.stack([right, known.sum().to(torch.float64)])).tolist()
    return float(hits / max(1.0, total))


@torch.no_grad()
def within_share(group: Group, prototypes: Tensor, assigned: Tensor) -> float:
    """E2 / Var(h): the share of the latents' variance that lies within clusters (spec deepcluster, S3, pitfalls).

    Of E2 alone nothing can be said, since it shrinks with the latents.

    Parameters
    ----------
    group : Group
        Latents of all samples.
    prototypes : Tensor, (clusters, latent)
        The middle of each cluster.
    assigned : Tensor, (total,)
        The cluster of each sample, by place among all.

    Examples
    --------
    >>> group = Group.alone(torch.tensor([[0.0], [2.0], [10.0], [12.0]]))
    >>> within_share(group, torch.tensor([[1.0], [11.0]]), torch.tensor([0, 0, 1, 1])) * 26
    1.0
    """
    middles, own = prototypes.to(torch.float64), assigned[group.places].to(prototypes.device)
    apart = prototypes.new_zeros((), dtype=torch.float64)
    for where, part in group.parts():
        apart += (part - middles[own[where]]).square().sum()
    whole = float(group.variance.sum()) * group.total
    return float(group.reduce(apart)) / whole if whole else 0.0


@torch.no_grad()
def mean_error(loader: Loader, reduction: Reduction) -> float:
    """E1 of a decoder that gives the mean sample whatever it reads: the variance of the data.

    Training that ends there has learnt nothing of single samples (spec deepcluster, S14 and S15, pitfalls).

    >>> import numpy as np
    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.array([[1.0, 0.0], [3.0, 4.0]]), standardize=False, validation=0, test=0)
    >>> mean_error(Loader(ds, "train", 2), "sum")
    5.0
    """
    shape = loader.ds.in_shape
    sums, counts = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    for batch in loader.epoch(0):
        seen = torch.ones_like(batch.x) if batch.mask is None else batch.mask[:, None].expand_as(batch.x)
        sums += (batch.x * seen).sum(dim=0, dtype=torch.float64).cpu()
        counts += seen.sum(dim=0, dtype=torch.float64).cpu()
    mean = sum_over_ranks(sums) / sum_over_ranks(counts).clamp(min=1)
    error = torch.zeros(2, dtype=torch.float64)
    for batch in loader.epoch(0):
        if len(batch.x):
            out = mean.to(batch.x).expand_as(batch.x)
            error[0] += float(reconstruction_loss(out, batch.x, batch.mask, reduction)) * len(batch.x)
            error[1] += len(batch.x)
    total, count = sum_over_ranks(error).tolist()
    return float(total / max(1.0, count))
