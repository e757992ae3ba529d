"""IIC: clusters of a sample and of its transformed copy that tell the most about each other (Ji et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.methods.neural_mixture import COPIES
from nervure.cluster.which_network import score_network
from nervure.data.dataset import Dataset

__all__ = ["IIC"]


@dataclass(eq=False, repr=False)
class IIC(DeepClusterer):
    """Invariant information clustering (Ji, Henriques and Vedaldi 2019; spec neural-mixture-clustering, 6.3).

    A network gives each cluster a probability; the mutual information between the cluster of a sample and that of its
    transformed copy is maximised. No auto-encoder, and no k-means.

    Parameters
    ----------
    copies : dict, optional
        Options of :class:`nervure.data.Augmentation` for the copies; by the kind of data if not given.
    entropy_weight : float
        Above 1 it asks for clusters more equal in size.
    patience : int
        As in every method; longer than a cluster without members waits until it gets half of the largest.
    over : int
        Clusters of a second dense layer that is trained beside the first one; 0 for none.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(100, 2)) for at in (-3, 3)])
    >>> model = IIC(2, epochs=20, lr=1e-2, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [100, 100]
    """

    copies: Mapping[str, object] | None = None
    entropy_weight: float = 1.0
    over: int = 0
    patience: int = 10

    reconstructs: ClassVar[bool] = False
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 250, "batch_size": 128, "lr": 1e-4},
        "robust": {"epochs": 100, "batch_size": 128, "lr": 2e-3},
        "quick": {"epochs": 30, "batch_size": 128, "lr": 2e-3},
    }

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """A scoring network, and the mutual information of originals and copies."""
        network, options, latent = score_network(self, ds)
        objective = {
            "reconstruction": 0.0, "weight": 1.0, "label_weight": self.label_weight if outputs else 0.0,
        }  # fmt: skip
        recipe = self._recipe(
            seed,
            objective,
            {},
            copies=dict(COPIES[ds.kind] if self.copies is None else self.copies),
            drop_last=len(ds.indices("train")) > 2 * int(self._given("batch_size")),
        )
        head = {"entropy_weight": self.entropy_weight, "over": self.over}
        return Method(network, "information", latent, recipe, options, head)
