"""How well samples lie in their clusters, in latent space."""

from __future__ import annotations

import numpy as np

from nervure.cluster.figures.view import View
from nervure.evidence import Bars, Figure

__all__ = ["silhouette"]


def silhouette(view: View) -> dict[str, Figure]:
    """The mean silhouette of each cluster, with its standard deviation over members (Rousseeuw 1987)."""
    if view.silhouettes is None:
        return {}
    chosen = view.clusters[view.some]
    there = np.unique(chosen)
    mean = np.array([view.silhouettes[chosen == one].mean() for one in there])
    spread = np.array([view.silhouettes[chosen == one].std() for one in there])
    order = np.argsort(-mean, kind="stable")
    whole = float(view.silhouettes.mean())
    worst = there[order[-1]]
    return {
        "silhouette": Bars(
            title=f"Silhouette of each cluster: {whole:.2f} over {view.of(len(chosen))}",
            alt=f"Mean silhouette in latent space of {len(there)} clusters over {len(chosen)} samples; lowest for "
            f"cluster {worst} with {mean.min():.2f}. 1: far from all others; 0: between two; below: rather elsewhere.",
            values=mean[order][None],
            spread=spread[order][None],
            bars=[f"cluster {one}" for one in there[order]],
            y_label="silhouette",
        )
    }
