"""DeepCluster: a network learns to tell apart the clusters of its own features (Caron et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.method import Method
from nervure.cluster.methods.neural_mixture import COPIES
from nervure.cluster.which_network import score_network
from nervure.data.dataset import Dataset
from nervure.errors import InputError

__all__ = ["DeepCluster"]


@dataclass(eq=False, repr=False)
class DeepCluster(DeepClusterer):
    """Deep clustering of features (Caron et al. 2018; spec neural-mixture-clustering, 6.3).

    After each epoch all features are whitened by their principal components, brought to length 1 and grouped by
    k-means; for the next epoch the groups are labels of a classifier with new weights, in which each group weighs the
    same. The clusters are k-means on the final features.

    Parameters
    ----------
    groups : int, optional
        Pseudo-labels; as many as clusters if neither this nor the profile says.
    components : int, optional
        Principal components that are kept, at most; twice as many as clusters if neither this nor the profile says.
        Whitening makes all of them equal, noise too.
    augment : dict, optional
        How samples are changed for the classifier; by the kind of data if not given, ``{}`` for not at all. Groups are
        of the unchanged samples.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(100, 2)) for at in (-3, 3)])
    >>> model = DeepCluster(2, epochs=5, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [100, 100]
    """

    groups: int | None = None
    components: int | None = None

    reconstructs: ClassVar[bool] = False
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "epochs": 200, "batch_size": 256, "lr": 0.05, "optimizer": "sgd", "weight_decay": 1e-5, "components": 256,
        },
        "robust": {"epochs": 100, "batch_size": 128, "lr": 1e-3},
        "quick": {"epochs": 30, "batch_size": 128, "lr": 1e-3},
    }  # fmt: skip

    def method(self, ds: Dataset, seed: int, outputs: int) -> Method:
        """A network without its last layer, a classifier of pseudo-labels, and clusters settled on final features."""
        if outputs:
            raise InputError("labels: deep-cluster trains on labels of its own; take dcae-kmeans or neural-mixture")
        network, options, latent = score_network(self, ds)
        changes = COPIES[ds.kind] if self.augment is None else self.augment
        recipe = self._recipe(
            seed,
            {"reconstruction": 0.0, "weight": 1.0},
            {"settle": True},
            augment=dict(changes) or None,
            optimizer=self._profile("optimizer") or "adam",
            drop_last=len(ds.indices("train")) > 2 * int(self._given("batch_size")),
        )
        groups, components, count = self._given("groups"), self._given("components"), len(ds.indices("train"))
        if groups is not None and groups > count:
            raise InputError(f"groups = {groups}: more than the {count} samples; give fewer")
        head = {"groups": groups, "components": 2 * self.n_clusters if components is None else components}
        return Method(network, "pseudo-labels", latent, recipe, options, head)
