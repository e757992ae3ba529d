"""Latents as they were after an epoch, kept as a figure that can be drawn at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.evidence import Scatter

__all__ = ["snapshot"]


def snapshot(epoch: int, points: Tensor, samples: NDArray[np.int64]) -> Scatter:
    """Latents (m, d) after an epoch by their two principal components; they are kept beside.

    >>> snapshot(3, torch.eye(4), np.arange(4)).points.shape
    (4, 2)
    """
    wide = points.to(torch.float64)
    centred = wide - wide.mean(dim=0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    flat = torch.zeros(len(wide), 2, dtype=torch.float64)
    flat[:, : len(axes)] = centred @ axes.T
    return Scatter(
        title=f"Latents after epoch {epoch}" if epoch else "Latents before the first epoch",
        alt=f"The two principal components of {len(wide)} latents after epoch {epoch}.",
        points=flat.numpy().astype(np.float32),
        data={"latents": points.numpy(), "samples": samples},
    )
