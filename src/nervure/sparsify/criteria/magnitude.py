"""Magnitude: small weights go first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.sparsify.criteria.edges import magnitude

__all__ = ["Magnitude"]


@dataclass(frozen=True)
class Magnitude(Criterion):
    """``|W|`` (spec isparse, 2.10: retraining-free).

    >>> import torch
    >>> Magnitude().judge(Layer("fc", torch.nn.Linear(2, 1), 1), {"weight": torch.tensor([[1.0, -2.0]])}, {}).scores
    tensor([[1., 2.]])
    """

    comparable: ClassVar[bool] = True
    reads_data: ClassVar[bool] = False

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        return Judgement(magnitude(layer, weights))
