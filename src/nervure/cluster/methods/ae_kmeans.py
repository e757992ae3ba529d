"""AEKMeans: an auto-encoder, and k-means once on its latents (spec deepcluster, S1 and S2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import PUBLISHED, auto_encoder
from nervure.data.dataset import Dataset

__all__ = ["AEKMeans"]


@dataclass(eq=False, repr=False)
class AEKMeans(DeepClusterer):
    """An auto-encoder that knows of no clusters, then k-means on at most 10,000 of its latents, the best of ten starts.

    What embedded clustering is to be held against.

    Parameters
    ----------
    reduction : str
        Whether a sample's squared error is a ``sum`` over its values or a ``mean``.
    latent_norm : str
        ``none`` or ``batchnorm``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = AEKMeans(2, epochs=5, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    reduction: str = "sum"
    latent_norm: str = "none"

    head: ClassVar[str] = "centres"
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 500, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "layers": PUBLISHED},
        "robust": {"epochs": 100, "batch_size": 100, "lr": 1e-3},
        "quick": {"epochs": 30, "batch_size": 100, "lr": 1e-3},
    }

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """Reconstruction to the end (E1), then the head, fitted once."""
        network, options, latent = auto_encoder(self, ds)
        objective = {
            "weight": 0.0, "reduction": self.reduction, "label_weight": self.label_weight if outputs else 0.0,
        }  # fmt: skip
        phase = {"warmup": int(self._given("epochs")), "settle": True}
        recipe = self._recipe(seed, objective, phase)
        return Method(network, self.head, latent, recipe, options, norm=self.latent_norm, label_outputs=outputs)
