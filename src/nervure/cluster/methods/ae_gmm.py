"""AEGMM: an auto-encoder, and a Gaussian mixture fitted once to its latents (spec deepcluster, S1 and S2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nervure.cluster.methods.ae_kmeans import AEKMeans

__all__ = ["AEGMM"]


@dataclass(eq=False, repr=False)
class AEGMM(AEKMeans):
    """An auto-encoder that knows of no clusters, then a Gaussian mixture of its latents, the best of five starts.

    The parameters are those of :class:`nervure.cluster.AEKMeans`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = AEGMM(2, epochs=5, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    head: ClassVar[str] = "mixture"
