"""VaDE: a variational auto-encoder whose latents come from a mixture of Gaussians (Jiang et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import auto_encoder
from nervure.data.dataset import Dataset

__all__ = ["VaDE"]


@dataclass(eq=False, repr=False)
class VaDE(DeepClusterer):
    """Variational deep embedding (Jiang et al. 2017).

    A dense auto-encoder is trained to reconstruct, and a mixture of diagonal Gaussians is fitted to its latents. Then
    encoder, decoder and mixture together maximise the evidence bound, with draws from q(z | x) for the decoder.

    Parameters
    ----------
    reconstruction : float, optional
        Weight of the squared error, summed over a sample's values: half the inverse of the variance with which the
        decoder explains a value. Less asks for tighter clusters, and at last empties some.
    floor : float
        Added to the first components' variances.
    spread : float
        First standard deviation of q(z | x), as a share of the components'.
    warmup : int, optional
        Epochs of reconstruction alone.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = VaDE(2, epochs=6, warmup=3, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    reconstruction: float | None = None
    floor: float = 1e-3
    spread: float = 0.5
    warmup: int | None = None

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 350, "batch_size": 100, "lr": 2e-3, "warmup": 50, "reconstruction": 4.0, "decay": 10},
        "robust": {
            "epochs": 100, "batch_size": 100, "lr": 1e-3, "reconstruction": 4.0, "clip": 10.0,
            "widths": (256, 256, 1024),
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "reconstruction": 4.0, "clip": 10.0, "widths": (128, 128, 512),
        },
    }  # fmt: skip

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """A dense auto-encoder with a trained mixture as prior (Eq 12 of the publication)."""
        network, options, latent = auto_encoder(self, ds, dense=True)
        objective = {
            "weight": 1.0, "reconstruction": self._given("reconstruction"), "reduction": "sum",
            "label_weight": self.label_weight if outputs else 0.0,
        }  # fmt: skip
        head = {"floor": self.floor, "spread": self.spread}
        recipe = self._recipe(
            seed, objective, {"warmup": self._warm(ds, 0.5)}, clip=self._profile("clip"), **self._rates()
        )
        return Method(network, "variational", latent, recipe, options, head, label_outputs=outputs)

    def _rates(self) -> dict[str, Any]:
        """In the publication's profile the learning rate falls by a tenth each ten epochs."""
        every, epochs = self._profile("decay"), int(self._given("epochs"))
        if not every or every >= epochs:
            return {}
        return {"schedule": "step", "milestones": tuple(range(every, epochs, every)), "gamma": 0.9}
