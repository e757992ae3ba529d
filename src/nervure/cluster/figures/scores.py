"""Scores as densities: the sigmoid that they meet, and their means over a batch (spec neural-mixture-clustering, 7)."""

from __future__ import annotations

import math

import numpy as np
import torch

from nervure.cluster.figures.latents import evenly
from nervure.cluster.figures.view import View
from nervure.cluster.heads.scores import ScoresHead
from nervure.evidence import Curve, Figure, Table

__all__ = ["balance", "densities"]

BATCH = 128


def densities(view: View) -> dict[str, Figure]:
    """The sigmoid over gamma beside a standard normal, as far as normalised scores of a batch can reach (N1)."""
    head = view.net.head
    if not isinstance(head, ScoresHead):
        return {}
    bound = math.sqrt(BATCH - 1)
    x = np.linspace(-bound, bound, 201)
    sigmoid = 1 / (1 + np.exp(-x / head.gamma))
    normal = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return {
        "densities": Curve(
            title="Normalised scores meet the straight part of the sigmoid",
            alt=f"A sigmoid of temperature {head.gamma:g} and a standard normal density from -{bound:.1f} to "
            f"{bound:.1f}, which is as far as a score in a batch of {BATCH} can lie from the mean.",
            x=x,
            y=np.stack([sigmoid, normal]),
            labels=("density of a score", "scores, if normal"),
            x_label="normalised score",
        )
    }


def balance(view: View) -> dict[str, Figure]:
    """Batch means of h_j without and with normalisation, for every cluster (N3, Table 4.1)."""
    head = view.net.head
    if not isinstance(head, ScoresHead):
        return {}
    latents = torch.from_numpy(view.latents[evenly(view.some, BATCH)])
    with torch.no_grad():
        raw = head.linear(latents)
        normal = (raw - raw.mean(dim=0)) * (raw.var(dim=0, unbiased=False) + head.norm.eps).rsqrt()
        means = [torch.sigmoid(one / head.gamma).mean(dim=0).tolist() for one in (raw, normal)]
    rows = [
        (f"cluster {one}", round(bare, 3), round(even, 3)) for one, (bare, even) in enumerate(zip(*means, strict=True))
    ]
    low, high = min(means[1]), max(means[1])
    return {
        "densities-balance": Table(
            title="Mean of each density over a batch",
            alt=f"Means over {len(latents)} samples: normalised they lie from {low:.3f} to {high:.3f}.",
            columns=("cluster", "scores as they are", "normalised"),
            rows=rows,
        )
    }
