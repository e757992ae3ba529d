"""Random edges: the control that every other criterion is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nervure.judge import Criterion, Judgement, Layer, Probe, generator_of
from nervure.sparsify.criteria.edges import magnitude

__all__ = ["Random"]


@dataclass(frozen=True)
class Random(Criterion):
    """Uniform scores (spec isparse, 2.10: DropConnect).

    They follow from ``seed`` and the layer's name, so neither other layers nor their order matter.

    >>> layer, weight = Layer("fc", torch.nn.Linear(2, 1), 1), {"weight": torch.ones(1, 2)}
    >>> torch.equal(Random(1).judge(layer, weight, {}).scores, Random(1).judge(layer, weight, {}).scores)
    True
    """

    seed: int = 0

    comparable: ClassVar[bool] = True
    reads_data: ClassVar[bool] = False

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        generator = generator_of(self.seed, layer.name)
        return Judgement(torch.rand(magnitude(layer, weights).shape, generator=generator))
