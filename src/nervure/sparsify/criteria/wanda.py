"""Wanda: a weight counts by its magnitude and by the norm of what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe, Wanted
from nervure.observe.moments import Norms, NormsResult
from nervure.observe.statistic import Site
from nervure.sparsify.criteria.edges import by_input, magnitude

__all__ = ["Wanda"]


@dataclass(frozen=True)
class Wanda(Criterion):
    """``|W[o, i]| ||x_i||``: the l2 norm of input i over all samples and positions.

    Ranked here within a layer like every criterion; as published each unit's edges are ranked alone.

    >>> from torch import nn
    >>> [site for site, _ in Wanda().wants(Layer("fc", nn.Linear(2, 1), 1)).values()]
    [Site(module='fc', side='input')]
    """

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {"inputs": (Site(layer.name, "input"), Norms())}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        seen = results["inputs"]
        assert isinstance(seen, NormsResult)
        size = magnitude(layer, weights)
        groups = int(getattr(layer.module, "groups", 1))
        if len(seen.l2) != size.shape[1] * groups:
            raise InputError(
                f"layer {layer.name!r} reads {len(seen.l2)} inputs where its weight has {size.shape[1] * groups}"
            )
        return Judgement(size * by_input(seen.l2, size, groups))
