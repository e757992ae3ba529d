"""Euclidean k-means on weights: the control that SSIM k-means must beat. Spec ssim-kmeans-pruning, 7.1."""

from __future__ import annotations

from nervure.prune.ssim.criterion import OneOfEach
from nervure.prune.ssim.methods import EuclideanKMeans
from nervure.prune.ssim.profiles import Effort
from nervure.prune.ssim.weights import Weights

__all__ = ["EuclideanKMeansCriterion"]


class EuclideanKMeansCriterion(OneOfEach):
    """One filter of each cluster by distance of weights; the nearest to the cluster's mean stays.

    Parameters
    ----------
    effort, runs, seed, weights
        As for :class:`OneOfEach`.

    Examples
    --------
    >>> EuclideanKMeansCriterion(seed=1).method
    EuclideanKMeans(silhouette='distance')
    """

    def __init__(
        self, *, effort: str | Effort = "quick", runs: int = 10, seed: int = 0, weights: Weights = "own"
    ) -> None:
        super().__init__(EuclideanKMeans(), effort=effort, runs=runs, seed=seed, weights=weights)
