"""SSIM k-means: filters whose weights look alike are grouped, one of each group stays.

Spec ssim-kmeans-pruning, after Al Dallal (2021).
"""

from __future__ import annotations

import dataclasses

from nervure.features.ssim import Mode, Similarity
from nervure.prune.ssim.criterion import OneOfEach
from nervure.prune.ssim.initial import Init
from nervure.prune.ssim.methods import SSIMKMeans
from nervure.prune.ssim.profiles import Effort, Profile, profile_of
from nervure.prune.ssim.weights import Weights

__all__ = ["SSIMKMeansCriterion"]


class SSIMKMeansCriterion(OneOfEach):
    """One filter of each cluster by SSIM of weights.

    Parameters
    ----------
    profile : str or Profile
        ``"corrected"``, or ``"thesis"`` as published (whose silhouette peaks on noise too: see the null curve).
    mode : str, optional
        ``"window3"``, ``"global"`` or ``"kernel"``, in place of the profile's.
    similarity : str, optional
        ``"ssim"``, ``"uqi"``, ``"mse"`` or ``"cosine"``, in place of the profile's: see
        :class:`~nervure.features.ssim.Measure`.
    init : str, optional
        Where k-means begins, ``"multi-point"`` or ``"k-means++"``, in place of the profile's.
    effort, runs, seed, weights
        As for :class:`OneOfEach`.

    Examples
    --------
    >>> SSIMKMeansCriterion("thesis").method.silhouette
    'thesis_min'
    """

    def __init__(
        self,
        profile: str | Profile = "corrected",
        *,
        mode: Mode | None = None,
        similarity: Similarity | None = None,
        init: Init | None = None,
        effort: str | Effort = "quick",
        runs: int = 10,
        seed: int = 0,
        weights: Weights = "own",
    ) -> None:
        chosen = profile_of(profile)
        own = chosen.measure
        own = dataclasses.replace(own, mode=mode or own.mode, similarity=similarity or own.similarity)
        chosen = dataclasses.replace(chosen, measure=own, init=init or chosen.init)
        super().__init__(SSIMKMeans(chosen), effort=effort, runs=runs, seed=seed, weights=weights)
