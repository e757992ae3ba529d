"""Average share of positive activations: one minus the average percentage of zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from nervure.judge import Judgement, Layer, Probe, Wanted
from nervure.observe.zeros import ZeroFraction
from nervure.prune.criteria.seen import Looking, Where
from nervure.prune.criteria.verdict import verdict

__all__ = ["APoZ"]


@dataclass(frozen=True)
class APoZ(Looking):
    """``1 - mean(relu(t) == 0)`` behind the activation (spec majority-voting-pruning, 3 and 12).

    Before any pooling or batch norm that follows; where the activation is no module, of what the next layer reads.
    Values of 0 and below count as zeros, so the place before a ReLU gives the same.

    >>> layer = Layer("fc", __import__("torch").nn.Linear(1, 1), 1)
    >>> APoZ().wants(layer)["zeros"].key
    ('zero-fraction', True)
    """

    tensor: Where = "active"

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {"zeros": self.at(layer, ZeroFraction(after_relu=True))}

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
