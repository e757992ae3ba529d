"""IDEC: DEC that keeps the reconstruction, so that latents keep what tells samples apart (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.methods.dec import DEC

__all__ = ["IDEC"]


@dataclass(eq=False, repr=False)
class IDEC(DEC):
    """Improved deep embedded clustering (Guo, Gao, Liu and Yin 2017; spec deepcluster, S6).

    As :class:`nervure.cluster.DEC`, with the same parameters, but that the decoder stays: reconstruction and
    ``weight`` times the clustering term are minimised together.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = IDEC(2, epochs=6, warmup=3, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    alone: ClassVar[bool] = False
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "epochs": 400, "batch_size": 256, "lr": 1e-3, "warmup": 200, "weight": 0.1, "reduction": "mean",
            "empty": "keep",
        },
        "robust": {
            "epochs": 100, "batch_size": 100, "lr": 1e-3, "weight": 0.1, "reduction": "mean", "empty": "reseed",
            "widths": (256, 256, 1024),
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "weight": 0.1, "reduction": "mean", "empty": "reseed",
            "widths": (128, 128, 512),
        },
    }  # fmt: skip
