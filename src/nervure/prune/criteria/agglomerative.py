"""Agglomerative clustering on 1 - SSIM of weights: groups without seeds. Spec ssim-kmeans-pruning, 7.1."""

from __future__ import annotations

from nervure.features.ssim import Measure
from nervure.prune.ssim.criterion import OneOfEach
from nervure.prune.ssim.methods import Agglomerative
from nervure.prune.ssim.profiles import Effort
from nervure.prune.ssim.weights import Weights

__all__ = ["AgglomerativeCriterion"]


class AgglomerativeCriterion(OneOfEach):
    """One filter of each group by average linkage on 1 - SSIM; the group's medoid stays.

    Parameters
    ----------
    measure : Measure, optional
        How filters are compared; each kernel, in [0, 1], otherwise.
    effort, weights
        As for :class:`OneOfEach`.
    seed : int
        Of the shuffled weights that the silhouette is held against; groups do not depend on it.

    Examples
    --------
    >>> AgglomerativeCriterion().method.measure.mode
    'kernel'
    """

    def __init__(
        self,
        measure: Measure | None = None,
        *,
        effort: str | Effort = "quick",
        seed: int = 0,
        weights: Weights = "own",
    ) -> None:
        method = Agglomerative() if measure is None else Agglomerative(measure)
        super().__init__(method, effort=effort, runs=1, seed=seed, weights=weights)
