"""DEC: a pre-trained encoder is sharpened towards its own confident assignments (Xie et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import auto_encoder
from nervure.data.dataset import Dataset
from nervure.errors import InputError

__all__ = ["DEC"]


@dataclass(eq=False, repr=False)
class DEC(DeepClusterer):
    """Deep embedded clustering (Xie, Girshick and Farhadi 2016; spec deepcluster, S6).

    A dense auto-encoder is trained to reconstruct, and its latents are clustered by k-means. Then the decoder is
    dropped: encoder and centres are trained so that the soft assignment by Student's t meets a sharpened target, which
    is computed anew from all samples after each epoch.

    Parameters
    ----------
    weight : float, optional
        Weight of the clustering term.
    reduction : str, optional
        Whether a sample's squared error is a ``sum`` over its values or a ``mean``.
    init, freedom, empty
        Of the centres: see :class:`nervure.cluster.heads.student.StudentHead`.
    warmup : int, optional
        Epochs of reconstruction alone.
    cluster_lr : float, optional
        Learning rate after the warm-up; ``lr`` if not given.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = DEC(2, epochs=6, warmup=3, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    weight: float | None = None
    reduction: str | None = None
    init: str = "kmeans"
    freedom: float = 1.0
    empty: str | None = None
    warmup: int | None = None
    cluster_lr: float | None = None

    dense: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "epochs": 500, "batch_size": 256, "lr": 1.0, "optimizer": "sgd", "warmup": 300, "cluster_lr": 0.01,
            "weight": 1.0, "reduction": "mean", "empty": "keep",
        },
        "robust": {
            "epochs": 100, "batch_size": 100, "lr": 1e-3, "weight": 1.0, "reduction": "sum", "empty": "reseed",
            "widths": (256, 256, 1024),
        },
        "quick": {
            "epochs": 30, "batch_size": 100, "lr": 1e-3, "weight": 1.0, "reduction": "sum", "empty": "reseed",
            "widths": (128, 128, 512),
        },
    }  # fmt: skip

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """An auto-encoder with trained centres, of which the decoder serves the warm-up alone, or to the end."""
        network, options, latent = auto_encoder(self, ds, dense=self.dense)
        objective = {
            "weight": self._given("weight"), "reduction": self._given("reduction"), "alone": self.alone,
            "label_weight": self.label_weight if outputs else 0.0,
        }  # fmt: skip
        head = {"init": self.init, "freedom": self.freedom, "empty": self._given("empty")}
        warmup = self._warm(ds, 0.5)
        recipe = self._recipe(seed, objective, {"warmup": warmup}, **self._rates(warmup))
        return Method(network, "student", latent, recipe, options, head, label_outputs=outputs)

    def _rates(self, warmup: int) -> dict[str, Any]:
        """The optimizer, and the learning rate that changes with the warm-up's end."""
        chosen = {"optimizer": self._profile("optimizer") or "adam"}
        later = self._given("cluster_lr")
        if later is None or warmup >= int(self._given("epochs")):
            return chosen
        if "schedule" in (self.recipe or {}) and self.cluster_lr is not None:
            raise InputError("cluster_lr: a schedule of the recipe says the rates already; give one of them")
        if warmup == 0:
            return {**chosen, "lr": later}
        return {**chosen, "schedule": "step", "milestones": (warmup,), "gamma": later / self._given("lr")}
