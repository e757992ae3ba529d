"""The table of statistics."""

from __future__ import annotations

from nervure.observe.statistic import Statistic
from nervure.registry import Table

__all__ = ["statistics"]

statistics: Table[type[Statistic]] = Table(
    "statistic",
    {
        "moments": ("nervure.observe.moments:Moments", "mean, variance, extremes and norms", "statistics"),
        "norms": ("nervure.observe.moments:Norms", "l1 and l2 over the data", "majority-voting-pruning, 3"),
        "zero-fraction": (
            "nervure.observe.zeros:ZeroFraction",
            "share of zeros (APoZ)",
            "majority-voting-pruning, 3",
        ),
        "histogram": (
            "nervure.observe.histogram:Histogram",
            "counts on an adaptive grid; entropy",
            "statistics",
        ),
        "fixed-histogram": (
            "nervure.observe.histogram:FixedHistogram",
            "counts on a given range",
            "statistics",
        ),
        "quantile": (
            "nervure.observe.quantile:Quantile",
            "quantiles to a stated bound",
            "majority-voting-pruning, 7",
        ),
        "exact-quantile": (
            "nervure.observe.quantile:ExactQuantile",
            "exact quantiles; keeps every value",
            "majority-voting-pruning, 7",
        ),
        "votes": ("nervure.observe.votes:Votes", "top-l votes of each example", "majority-voting-pruning, 2"),
        "map-rank": (
            "nervure.observe.maprank:MapRank",
            "average rank of feature maps",
            "ssim-kmeans-pruning, 7.1",
        ),
        "gram": ("nervure.observe.gram:Gram", "inner products of units", "linear algebra"),
        "cross-gram": (
            "nervure.observe.crossgram:CrossGram",
            "normal equations from input patches to outputs",
            "majority-voting-pruning, 10",
        ),
        "gradient-times-activation": (
            "nervure.observe.gradients:GradientTimesActivation",
            "Taylor importance",
            "majority-voting-pruning, 3",
        ),
        "mean-gradient": (
            "nervure.observe.gradients:MeanGradient",
            "mean gradient, signed and absolute",
            "majority-voting-pruning, 12",
        ),
    },
    group="nervure.statistics",
)
