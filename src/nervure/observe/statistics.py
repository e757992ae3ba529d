"""The table of statistics."""

from __future__ import annotations

from nervure.observe.statistic import Statistic
from nervure.registry import Table

__all__ = ["statistics"]

statistics: Table[type[Statistic]] = Table(
    "statistic",
    {
        "moments": ("nervure.observe.moments:Moments", "mean, variance, extremes and norms", "statistics"),
        "norms": ("nervure.observe.moments:Norms", "l1 and l2 over the data", "own"),
        "zero-fraction": (
            "nervure.observe.zeros:ZeroFraction",
            "share of zeros (APoZ)",
            "own",
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
            "own",
        ),
        "exact-quantile": (
            "nervure.observe.quantile:ExactQuantile",
            "exact quantiles; keeps every value",
            "own",
        ),
        "votes": ("nervure.observe.votes:Votes", "top-l votes of each example", "own"),
        "map-rank": (
            "nervure.observe.maprank:MapRank",
            "average rank of feature maps",
            "own",
        ),
        "gram": ("nervure.observe.gram:Gram", "inner products of units", "linear algebra"),
        "cross-gram": (
            "nervure.observe.crossgram:CrossGram",
            "normal equations from input patches to outputs",
            "own",
        ),
        "gradient-times-activation": (
            "nervure.observe.gradients:GradientTimesActivation",
            "Taylor importance",
            "own",
        ),
        "mean-gradient": (
            "nervure.observe.gradients:MeanGradient",
            "mean gradient, signed and absolute",
            "own",
        ),
    },
    group="nervure.statistics",
)
