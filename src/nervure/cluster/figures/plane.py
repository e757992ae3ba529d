"""Samples of two features: where clusters lie in the plane, and densities (spec neural-mixture-clustering, 7)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from nervure.cluster.figures.view import View
from nervure.cluster.heads.scores import ScoresHead
from nervure.evidence import Figure, Images, Scatter

__all__ = ["contours", "points"]

GRID = 72
BANDS = 12
SHOWN = 3


def points(view: View) -> dict[str, Figure]:
    """The samples themselves, by cluster (N2)."""
    if not _flat(view):
        return {}
    rows = view.some
    return {
        "points-by-cluster": Scatter(
            title="The samples, by cluster",
            alt=f"{len(rows)} samples by their two features, coloured by cluster.",
            points=view.ds.x[view.at[rows]].astype(np.float64),
            groups=view.clusters[rows],
            labels=view.net.names,
            x_label=view.ds.column(0),
            y_label=view.ds.column(1),
        )
    }


def contours(view: View) -> dict[str, Figure]:
    """h_j over the range of the data for three clusters, in bands, without and with normalisation (N3)."""
    head = view.net.head
    if not _flat(view) or not isinstance(head, ScoresHead):
        return {}
    latents = _over(view)
    with torch.no_grad():
        raw, normal = head.linear(latents), head.normal(latents)
        values = torch.stack([raw, normal]).div(head.gamma).sigmoid()
    shown = np.argsort(-np.bincount(view.clusters, minlength=view.count), kind="stable")[:SHOWN]
    maps = values[:, :, shown].permute(0, 2, 1).reshape(-1, 1, GRID, GRID).numpy()
    # one value either side of a contour: shades in bands show the lines without drawing them
    low, high = float(maps.min()), float(maps.max())
    bands = np.floor((maps - low) / max(high - low, 1e-12) * BANDS).clip(0, BANDS - 1)
    shades = (bands / (BANDS - 1) * 255).astype(np.uint8)
    words = [f"cluster {one}, {how}" for how in ("scores as they are", "normalised") for one in shown]
    return {
        "contours": Images(
            title="Densities of the largest clusters over the plane",
            alt=f"{BANDS} bands of h for clusters {', '.join(map(str, shown))} over the range of the data, from "
            f"{low:.2f} in black to {high:.2f} in white: above of scores as they are, below normalised.",
            pictures=shades,
            captions=words,
            columns=len(shown),
        )
    }


def _flat(view: View) -> bool:
    return view.ds.kind == "table" and view.ds.in_shape == (2,)


def _over(view: View) -> torch.Tensor:
    """Latents of a grid over the data's range, from its upper left corner row by row."""
    held: NDArray[np.float64] = view.ds.x[view.at[view.some]].astype(np.float64)
    low, high = held.min(axis=0), held.max(axis=0)
    across, up = np.meshgrid(np.linspace(low[0], high[0], GRID), np.linspace(high[1], low[1], GRID))
    grid = torch.from_numpy(np.stack([across.ravel(), up.ravel()], axis=1)).to(torch.float32)
    with torch.no_grad():
        return view.net.encode(view.ds.preprocessing(grid))
