"""Average share of positive activations: one minus the average percentage of zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from nervure.judge import Criterion, Judgement, Layer, Probe, Wanted
from nervure.observe.zeros import ZeroFraction
from nervure.prune.criteria.seen import Where, at, checked
from nervure.prune.criteria.verdict import verdict

__all__ = ["APoZ"]


@dataclass(frozen=True)
class APoZ(Criterion):
    """``1 - mean(relu(t) == 0)`` of what the next layer reads (spec majority-voting-pruning, 3 and 12).

    Values of 0 and below count as zeros, so a place before the ReLU gives the same where nothing lies between.

    >>> layer = Layer("fc", __import__("torch").nn.Linear(1, 1), 1)
    >>> APoZ().wants(layer)["zeros"].key
    ('zero-fraction', True)
    """

    tensor: Where = "seen"

    def __post_init__(self) -> None:
        checked(self.tensor)

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {"zeros": at(layer, ZeroFraction(after_relu=True), self.tensor)}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        zeros = results["zeros"]
        assert isinstance(zeros, Tensor)
        return verdict(layer, "share above zero", 1 - zeros, tensor=self.tensor)
