"""Random order of units: the control that every other criterion is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.judge import Criterion, Judgement, Layer, Probe, generator_of
from nervure.prune.criteria.verdict import verdict

__all__ = ["Random"]


@dataclass(frozen=True)
class Random(Criterion):
    """A uniform permutation of each layer's units (spec majority-voting-pruning, 3).

    It follows from ``seed`` and the layer's name, so neither other layers nor their order matter.

    >>> from torch import nn
    >>> layer = Layer("fc", nn.Linear(1, 4), 4)
    >>> Random(seed=1).judge(layer, {}, {}).scores.sort().values
    tensor([0., 1., 2., 3.], dtype=torch.float64)
    """

    seed: int = 0

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        generator = generator_of(self.seed, layer.name)
        return verdict(layer, "random rank", torch.randperm(layer.units, generator=generator), seed=self.seed)
