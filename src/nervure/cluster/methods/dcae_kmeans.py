"""DCAEKMeans: an auto-encoder whose latents are pulled to k-means centres (spec deepcluster, S3, S7 to S12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import PUBLISHED, auto_encoder
from nervure.data.dataset import Dataset

__all__ = ["DCAEKMeans"]


@dataclass(eq=False, repr=False)
class DCAEKMeans(DeepClusterer):
    """Deep convolutional auto-encoder with embedded k-means (Alqahtani et al. 2018).

    Reconstruction and the distance of each latent to its centre are minimised together; after each epoch the centres
    make one Lloyd step on all latents. At first (20 epochs of ``robust``, 10 of ``quick``, none of ``paper``) k-means
    finds them anew instead, so that a bad start is forgotten.

    Parameters
    ----------
    weight : float
        Lambda, the weight of the clustering term.
    reduction : str, optional
        Whether a sample's squared error is a ``sum`` over its values (the formula) or a ``mean``, which makes
        ``weight`` stronger by their number; ``mean`` where labels supervise, else ``sum``.
    init, empty, assign, refit_epochs
        Of the centres: see :class:`nervure.cluster.heads.centres.CentresHead`.
    warmup : int
        Epochs of reconstruction alone; where clusters may die at least a third of all, since untrained latents show
        none.
    activity : three floats
        Weights of affinity, balance and norm (GBAR). Of digits in two groups they found 20 points more where the
        auto-encoder ends in a sigmoid, as published, and nothing more where it ends linearly, which finds as much.
    parents : sequence of int
        The group of each label, where groups supervise in place of labels.
    latent_norm : str
        ``none`` or ``batchnorm``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = DCAEKMeans(2, epochs=5, random_state=0).fit(x)
    >>> len(set(model.labels_[:40])), len(set(model.labels_[40:]))
    (1, 1)
    """

    weight: float = 0.1
    reduction: str | None = None
    init: str = "samples"
    empty: str | None = None
    assign: str = "stored"
    refit_epochs: int | None = None
    warmup: int = 0
    activity: Sequence[float] = (0.0, 0.0, 0.0)
    parents: Sequence[int] = ()
    latent_norm: str = "none"

    dense: ClassVar[bool] = False
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "epochs": 500, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "empty": "keep", "layers": PUBLISHED,
        },
        "robust": {
            "epochs": 100, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "empty": "reseed", "refit_epochs": 20,
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "weight_decay": 5e-4, "empty": "reseed", "refit_epochs": 10,
        },
    }  # fmt: skip

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """An auto-encoder with centres (Eq 3.5, 4.9)."""
        network, options, latent = auto_encoder(self, ds, dense=self.dense)
        objective = {
            "weight": self.weight,
            "reduction": self.reduction or ("mean" if outputs else "sum"),
            "activity": list(self.activity),
            "label_weight": self.label_weight if outputs else 0.0,
        }
        head = {
            "init": self.init, "empty": self._given("empty"), "assign": self.assign,
            "refit_epochs": self._given("refit_epochs") or 0,
        }  # fmt: skip
        warmup = max(self.warmup, int(self._given("epochs")) // 3) if head["empty"] == "die" else self.warmup
        return Method(
            network,
            "centres",
            latent,
            self._recipe(seed, objective, {"warmup": warmup}),
            options,
            head,
            self.latent_norm,
            outputs,
        )
