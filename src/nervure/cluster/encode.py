"""All latents of a data set, in one streaming pass: each process encodes its share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from nervure.cluster.heads.head import Group
from nervure.cluster.net import ClusterNet
from nervure.cluster.quiet import evaluated
from nervure.data import Loader
from nervure.data.dataset import Dataset, Indices
from nervure.nets.shadow import place_of
from nervure.train.runtime import sum_over_ranks

__all__ = ["encode", "encoded"]

BATCH = 256
"""Samples at a time; with more of them each takes longer on a CPU."""


@torch.no_grad()
def encode(net: ClusterNet, loader: Loader, total: int, seed: int = 0) -> Group:
    """The latents of a loader's whole split, where the network is, in evaluation mode; its mode is restored.

    Where latents are batch-normalised, the statistics are first set to those of the whole split, of all processes
    together (spec deepcluster, S4, pitfalls): latents before the norm are kept, so that one pass is enough. Latents of
    a wide layer are held as the head's lens shows them.
    """
    normed = isinstance(net.norm, nn.modules.batchnorm._BatchNorm)
    through = None if normed else net.head.lens()
    places = torch.cat([part[loader.rank :: loader.world] for part in torch.arange(total).split(loader.size)])
    device, dtype = place_of(net)
    raw = torch.zeros(len(places), net.head.latent if through is None else through.shape[1], device=device, dtype=dtype)
    through = None if through is None else through.to(raw)
    start = 0
    with evaluated(net):
        for batch in loader.epoch(0):
            if len(batch.index):
                latents = net.raw(batch.x, batch.mask)
                raw[start : start + len(latents)] = latents if through is None else latents @ through
            start += len(batch.index)
        group = Group(raw, total, places, sum_over_ranks, seed, through)
        if not normed:
            return group
        mean, variance = group.moments(raw)
        net.norm.running_mean.copy_(mean)  # type: ignore[operator]
        net.norm.running_var.copy_(variance)  # type: ignore[operator]
        return dataclasses.replace(group, latents=net.norm(raw))


@torch.no_grad()
def encoded(
    net: ClusterNet, ds: Dataset, at: Indices | None = None, device: str = "cpu"
) -> Iterator[tuple[Indices, Tensor]]:
    """Latents of the samples at ``at``, batch by batch: positions and (n, latent) on the CPU."""
    at = ds.indices() if at is None else np.asarray(at, dtype=np.int64)
    with evaluated(net):
        for start in range(0, len(at), BATCH):
            where = at[start : start + BATCH]
            batch = ds.batch(where).to(device)
            yield where, net.encode(batch.x, batch.mask).cpu()
