"""One pass over data, many statistics, any layer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from nervure.observe.collect import collect
from nervure.observe.statistic import Side, Site, Statistic
from nervure.observe.statistics import statistics

if TYPE_CHECKING:
    from nervure.observe.crossgram import CrossGram
    from nervure.observe.gradients import GradientTimesActivation, MeanGradient
    from nervure.observe.gram import Gram
    from nervure.observe.histogram import FixedHistogram, Histogram
    from nervure.observe.maprank import MapRank
    from nervure.observe.moments import Moments, Norms
    from nervure.observe.quantile import ExactQuantile, Quantile
    from nervure.observe.sums import Sums
    from nervure.observe.votes import Votes
    from nervure.observe.zeros import ZeroFraction

__all__ = [
    "CrossGram", "ExactQuantile", "FixedHistogram", "GradientTimesActivation", "Gram", "Histogram", "MapRank",
    "MeanGradient", "Moments", "Norms", "Quantile", "Side", "Site", "Statistic", "Sums", "Votes",
    "ZeroFraction", "collect", "statistics",
]  # fmt: skip

_HOME = {
    "CrossGram": "crossgram",
    "ExactQuantile": "quantile",
    "FixedHistogram": "histogram",
    "GradientTimesActivation": "gradients",
    "Gram": "gram",
    "Histogram": "histogram",
    "MapRank": "maprank",
    "MeanGradient": "gradients",
    "Moments": "moments",
    "Norms": "moments",
    "Quantile": "quantile",
    "Sums": "sums",
    "Votes": "votes",
    "ZeroFraction": "zeros",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
