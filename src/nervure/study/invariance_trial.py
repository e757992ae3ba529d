"""The trial ``cluster-invariance``: how far features of a clusterer change when images are turned (Fig 4.4).

Source: spec deepcluster, S12.
"""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
from pydantic import Field

from nervure.cluster.invariance import measure
from nervure.cluster.net import ClusterNet
from nervure.errors import InputError
from nervure.study.cluster_controls import CONTROLS
from nervure.study.cluster_data import work_of
from nervure.study.cluster_measures import agreement_on
from nervure.study.cluster_trial import ClusterSettings, fitted
from nervure.study.trials import Job, Measured

__all__ = ["InvarianceSettings", "invariance_trial"]


class InvarianceSettings(ClusterSettings):
    """What the trial ``cluster-invariance`` is told: a clusterer as for the trial ``cluster``, and how many images.

    >>> InvarianceSettings(method="dcae-kmeans", fit="train").images
    2000
    """

    trial: ClassVar[str] = "cluster-invariance"

    images: int = Field(2000, ge=2)


def invariance_trial(job: Job) -> Measured:
    """Fit a clusterer and measure each layer under each transform, on test images.

    ``difference LAYER TRANSFORM`` is the mean squared difference, ``share LAYER TRANSFORM`` that by twice the
    features' variance, ``share LAYER`` the mean over transforms; and ``acc_test``.

    >>> settings = {"method": "dcae-kmeans", "deep": {"epochs": 1}, "fit": "train", "samples": 100, "images": 50}
    >>> found = invariance_trial(Job("digits", settings=settings, device="cpu")).metrics
    >>> found["share latent flip 90"] > 0
    True
    """
    settings = InvarianceSettings.read(job.settings)
    if settings.method in CONTROLS or settings.fit != "train":
        raise InputError("trial 'cluster-invariance': it needs a network and test images; give fit = 'train'")
    work = work_of(job, settings)
    if work.test is None or work.test_truth is None:
        raise InputError(f"{job.source}: no test images to be turned")
    begun = time.perf_counter()
    model = fitted(job, settings, work)
    made = time.perf_counter()
    count = min(settings.images, len(work.test))
    at = np.sort(np.random.default_rng(1).permutation(len(work.test))[:count])
    net = model.net_
    assert isinstance(net, ClusterNet)
    found = measure(net, work.test, at)
    metrics = agreement_on("test", work.test_truth, model.predict(work.test))
    for row, layer in enumerate(found.layers):
        metrics[f"difference {layer}"] = float(found.difference[row].mean())
        metrics[f"share {layer}"] = float(found.share[row].mean())
        for column, transform in enumerate(found.transforms):
            metrics[f"difference {layer} {transform}"] = float(found.difference[row, column])
            metrics[f"share {layer} {transform}"] = float(found.share[row, column])
    return Measured(metrics, {"fit": made - begun, "measure": time.perf_counter() - made})
