"""DCAEGMM: an auto-encoder whose latents follow a Gaussian mixture (spec deepcluster, S4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import PUBLISHED, auto_encoder
from nervure.data.dataset import Dataset

__all__ = ["DCAEGMM"]


@dataclass(eq=False, repr=False)
class DCAEGMM(DeepClusterer):
    """Deep convolutional auto-encoder with an embedded Gaussian mixture (Alqahtani et al. 2018).

    Reconstruction and the negative log-likelihood of the latents are minimised together; after each epoch the mixture
    makes one EM step on all latents. The printed recipe (``paper``) shrinks its latents to nothing; ``robust`` and
    ``quick`` normalise them, warm up, start from k-means, and give the mixture two latents a cluster, a higher floor
    and a smaller weight; pictures are turned and shifted a little, and restored.

    Parameters
    ----------
    weight : float, optional
        Lambda, the weight of the clustering term.
    reduction : str, optional
        ``sum`` or ``mean`` over a sample's values; ``mean`` where labels supervise, else ``sum``.
    covariance, floor, init, empty
        Of the mixture: see :class:`nervure.cluster.heads.mixture.MixtureHead`.
    warmup : int, optional
        Epochs of reconstruction alone; by default a third of all, and never less where components may die. The
        ``paper`` profile has none.
    latent_norm : str, optional
        ``none`` or ``batchnorm``.
    activity, parents
        As in :class:`nervure.cluster.DCAEKMeans`.
    variant : str
        ``published`` keeps the printed sign, which diverges.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = DCAEGMM(2, epochs=6, warmup=3, random_state=0).fit(x)
    >>> model.predict_proba(x[:1]).sum().round(6)
    np.float64(1.0)
    """

    weight: float | None = None
    reduction: str | None = None
    covariance: str = "full"
    floor: float | None = None
    init: str | None = None
    empty: str | None = None
    warmup: int | None = None
    latent_norm: str | None = None
    activity: Sequence[float] = (0.0, 0.0, 0.0)
    parents: Sequence[int] = ()
    variant: str = "corrected"

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "epochs": 500, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "weight": 0.1, "warmup": 0,
            "latent_norm": "none", "init": "samples", "floor": 1e-6, "layers": PUBLISHED,
        },
        "robust": {
            "epochs": 60, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "weight": 0.03, "latents": 2,
            "latent_norm": "batchnorm", "init": "kmeans", "floor": 5e-2, "clip": 10.0, "restore": True,
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "weight": 0.03, "latents": 2,
            "latent_norm": "batchnorm", "init": "kmeans", "floor": 5e-2, "clip": 10.0, "restore": True,
        },
    }  # fmt: skip

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """An auto-encoder with a mixture (Eq 3.9)."""
        network, options, latent = auto_encoder(self, ds)
        objective = {
            "weight": self._given("weight"),
            "reduction": self.reduction or ("mean" if outputs else "sum"),
            "activity": list(self.activity),
            "label_weight": self.label_weight if outputs else 0.0,
        }
        head = {
            "init": self._given("init"), "covariance": self.covariance, "floor": self._given("floor"),
            "empty": self.empty or ("keep" if self.profile == "paper" else "reseed"), "variant": self.variant,
        }  # fmt: skip
        given, third = self._given("warmup"), int(self._given("epochs")) // 3
        # untrained latents show no clusters, so components that may die wait
        warmup = max(1, third) if given is None else max(int(given), third if head["empty"] == "die" else 0)
        return Method(
            network,
            "mixture",
            latent,
            self._recipe(seed, objective, {"warmup": warmup}, clip=self._profile("clip")),
            options,
            head,
            self._given("latent_norm"),
            outputs,
        )
