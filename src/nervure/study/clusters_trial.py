"""The trial ``prune-clusters``: how many clusters the silhouette finds in each layer's filters, and in noise.

Source: spec ssim-kmeans-pruning, 2.4, 2.5 and 4.4 (silhouette plots).
"""

from __future__ import annotations

import dataclasses
import time
from typing import ClassVar, Literal

import numpy as np

from nervure.features.ssim import Mode
from nervure.prune.ssim.methods import SSIMKMeans
from nervure.prune.ssim.profiles import profile_of
from nervure.prune.ssim.search import search_layer
from nervure.study.asked import numbered
from nervure.study.base import base_of
from nervure.study.settings import FromBase, OfLayers
from nervure.study.trials import Job, Measured

__all__ = ["ClustersSettings", "clusters_trial"]


class ClustersSettings(FromBase, OfLayers):
    """What the trial ``prune-clusters`` is told beside its base and which layers.

    Parameters
    ----------
    profile, mode, effort : str
        As for the criterion ``ssim-kmeans``.
    """

    trial: ClassVar[str] = "prune-clusters"

    profile: Literal["thesis", "corrected"] = "thesis"
    mode: Mode | None = None
    effort: Literal["quick", "fast", "full"] = "fast"


def clusters_trial(job: Job) -> Measured:
    """Search each layer: the best number of clusters ``K N``, the ``score N`` of its best run, and ``spread N``.

    ``null K N`` and ``null score N`` are those of the same weights in shuffled places: where they come near, the
    number says nothing of the filters. ``spread`` is the mean over K, without the outer tenths, of the standard
    deviation over runs by the mean.
    """
    settings = ClustersSettings.read(job.settings)
    run, ds = base_of(job, settings.run, settings.base)
    chosen = profile_of(settings.profile)
    if settings.mode is not None:
        chosen = dataclasses.replace(chosen, measure=dataclasses.replace(chosen.measure, mode=settings.mode))
    method = SSIMKMeans(chosen)
    _, layers = numbered(run.net, ds, settings.kind, settings.first, settings.count)
    metrics: dict[str, float] = {}
    begun = time.perf_counter()
    for number, layer in layers.items():
        weight = layer.module.get_parameter("weight").detach()
        found = search_layer(layer.name, weight, method, settings.effort, seed=job.seed)
        for said, null in (("", False), ("null ", True)):
            table = found.table(method.silhouette, null=null)
            metrics[f"{said}K {number}"] = float(table.natural)
            metrics[f"{said}score {number}"] = table.best_at(table.natural)
        own = found.table(method.silhouette)
        inner = (own.k > 0.1 * found.n) & (own.k < 0.9 * found.n)
        mean, spread = own.mean[inner], own.spread[inner]
        metrics[f"spread {number}"] = float(np.mean(spread[mean > 0] / mean[mean > 0])) if (mean > 0).any() else 0.0
    return Measured(metrics, {"search": time.perf_counter() - begun})
