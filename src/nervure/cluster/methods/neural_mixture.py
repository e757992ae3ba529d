"""NeuralMixture: a network whose scores are mixture densities, learned by EM on batches (spec neural-mixture, 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.which_network import score_network
from nervure.data.dataset import Dataset, Kind
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.train.recipe import CallbackSpec

__all__ = ["COPIES", "NeuralMixture"]

COPIES: dict[Kind, dict[str, object]] = {
    "image": {"rotate": 15.0, "scale": 0.2, "shift": 0.1},
    "series": {"jitter": 0.1, "scale": 0.2, "time_warp": 0.2},
    "table": {"jitter": 0.1},
}
"""How transformed copies are made where nothing else is asked (spec neural-mixture, 3)."""


@dataclass(eq=False, repr=False)
class NeuralMixture(DeepClusterer):
    """Neural mixture model clustering (Tissera, thesis, chapter 4).

    The network gives a score for each cluster; normalised over the batch, they are densities through a sigmoid and
    posteriors through a softmax, and each step of training is one of EM. No auto-encoder, and no k-means.

    Parameters
    ----------
    optimisation : str
        ``em-alone``: originals; ``em``: with transformed copies; ``two-fold``: and after each step one that makes
        originals and copies agree; ``consistency``: such steps alone, which find no clusters and are there to show it.
    copies : dict, optional
        Options of :class:`nervure.data.Augmentation` for the copies; by the kind of data if not given.
    gamma : float
        Temperature of the densities.
    priors : bool
        Whether cluster weights follow the posteriors, for clusters of unequal size.
    consistency_lr : float, optional
        Learning rate of the steps that make originals and copies agree.
    normalise : str
        ``batch``; ``detached`` and ``none`` collapse, and are there to show it.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(100, 2)) for at in (-3, 3)])
    >>> model = NeuralMixture(2, epochs=20, lr=1e-2, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [100, 100]
    """

    optimisation: str = "em"
    copies: Mapping[str, object] | None = None
    gamma: float = 5.0
    priors: bool = False
    consistency_lr: float | None = None
    normalise: str = "batch"

    reconstructs: ClassVar[bool] = False
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 250, "batch_size": 128, "lr": 5e-5, "consistency_lr": 1e-4},
        "robust": {"epochs": 100, "batch_size": 128, "lr": 5e-4, "consistency_lr": 5e-4, "n_init": 4},
        "quick": {"epochs": 30, "batch_size": 128, "lr": 1e-3, "consistency_lr": 1e-3},
    }

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """A scoring network, its EM objective, and for ``two-fold`` the second step as a callback."""
        choose("optimisation", self.optimisation, ("em-alone", "em", "two-fold", "consistency"))
        if self.optimisation == "consistency" and self.lr is not None:
            raise InputError("lr: consistency alone has no other steps than those of consistency_lr; give that instead")
        network, options, latent = score_network(self, ds)
        copies = None
        if self.optimisation != "em-alone":
            copies = dict(COPIES[ds.kind] if self.copies is None else self.copies)
        second = [CallbackSpec(name="consistency", options={"lr": self._given("consistency_lr")})]
        objective = {
            "reconstruction": 0.0, "weight": 1.0, "label_weight": self.label_weight if outputs else 0.0,
        }  # fmt: skip
        recipe = self._recipe(
            seed,
            objective,
            {},
            copies=copies,
            drop_last=len(ds.indices("train")) > 2 * int(self._given("batch_size")),
            callbacks=second if self.optimisation == "two-fold" else (),
            lr=self._given("consistency_lr" if self.optimisation == "consistency" else "lr"),
        )
        head = {"gamma": self.gamma, "priors": self.priors, "normalise": self.normalise}
        if self.optimisation == "consistency":
            head["goal"] = "consistency"
        return Method(network, "scores", latent, recipe, options, head)
