"""DCN: a pre-trained auto-encoder, and centres that move with each batch (Yang et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import auto_encoder
from nervure.data.dataset import Dataset

__all__ = ["DCN"]


@dataclass(eq=False, repr=False)
class DCN(DeepClusterer):
    """Deep clustering network (Yang et al. 2017): a k-means friendly latent space.

    A dense auto-encoder is trained to reconstruct, its latents are clustered by k-means, and from then on the distance
    to each sample's centre is minimised too. After each step the samples of the batch are assigned anew and move
    their centres, the less the more samples those have seen.

    Parameters
    ----------
    weight : float, optional
        Lambda; half of it weighs the squared distance.
    reduction : str
        Whether a sample's squared error is a ``sum`` over its values or a ``mean``.
    start : float
        Samples that each first centre counts for.
    empty : str, optional
        What happens to a centre without members, as in :class:`nervure.cluster.heads.centres.CentresHead`.
    warmup : int, optional
        Epochs of reconstruction alone.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = DCN(2, epochs=6, warmup=3, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    weight: float | None = None
    reduction: str = "sum"
    start: float = 100.0
    empty: str | None = None
    warmup: int | None = None

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 300, "batch_size": 256, "lr": 1e-3, "warmup": 250, "weight": 0.05, "empty": "keep"},
        "robust": {
            "epochs": 100, "batch_size": 100, "lr": 1e-3, "weight": 0.5, "empty": "reseed", "widths": (256, 256, 1024),
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "weight": 0.5, "empty": "reseed", "widths": (128, 128, 512),
        },
    }  # fmt: skip

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """A dense auto-encoder with running centres (Eq 6 of the publication)."""
        network, options, latent = auto_encoder(self, ds, dense=True)
        objective = {
            "weight": self._given("weight") / 2, "reduction": self.reduction,
            "label_weight": self.label_weight if outputs else 0.0,
        }  # fmt: skip
        head = {"empty": self._given("empty"), "start": self.start}
        recipe = self._recipe(seed, objective, {"warmup": self._warm(ds, 0.5)})
        return Method(network, "running", latent, recipe, options, head, label_outputs=outputs)
