"""AEC: a dense auto-encoder whose latents are pulled to k-means centres (Song et al. 2013; spec deepcluster, S6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.methods.dcae_kmeans import DCAEKMeans

__all__ = ["AEC"]


@dataclass(eq=False, repr=False)
class AEC(DCAEKMeans):
    """Auto-encoder based clustering: the ancestor of :class:`nervure.cluster.DCAEKMeans`, whose layers are dense.

    The parameters are the same. Series of unequal lengths, which dense layers cannot read, get dilated convolutions.
    The first epochs of the ``robust`` profile end with k-means to convergence: centres that start among the latents of
    an untrained network stay where they are, as those latents shrink.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = AEC(2, epochs=5, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    dense: ClassVar[bool] = True
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 500, "batch_size": 100, "lr": 1e-3, "empty": "keep"},
        "robust": {
            "epochs": 100, "batch_size": 100, "lr": 1e-3, "empty": "reseed", "refit_epochs": 20,
            "widths": (256, 256, 1024),
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "empty": "reseed", "refit_epochs": 10,
            "widths": (128, 128, 512),
        },
    }  # fmt: skip
