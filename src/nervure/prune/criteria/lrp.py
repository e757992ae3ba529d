"""Layer-wise relevance propagation: a unit's share of the decision for the true class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.observe.relevance import RelevanceResult, relevance
from nervure.prune.criteria.seen import prepared
from nervure.prune.criteria.verdict import verdict

__all__ = ["LRP"]


@dataclass(frozen=True)
class LRP(Criterion):
    """Relevance by the rule with alpha = 1 and beta = 0 (spec majority-voting-pruning, 12).

    It begins as the true class's logit; a unit's score is what reaches it, summed over positions, averaged over
    examples.

    >>> LRP().needs_labels
    True
    """

    needs_labels: ClassVar[bool] = True
    _known: Mapping[str, RelevanceResult] = prepared()

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> LRP:  # noqa: D102
        return replace(self, _known=relevance(net, batches, [layer.name for layer in layers]))

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if layer.name not in self._known:
            raise InputError(f"layer {layer.name!r}: relevance must be prepared; judge with nervure.judge.judge")
        found = self._known[layer.name]
        return verdict(layer, "relevance", found.units, total=float(found.units.sum()), start=found.start)
