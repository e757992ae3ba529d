"""Size and spread of a unit's activation over the data: mean, standard deviation, l1 and l2."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nervure.judge import Judgement, Layer, Probe, Wanted
from nervure.observe.moments import Moments, MomentsResult
from nervure.prune.criteria.seen import Looking, Where
from nervure.prune.criteria.verdict import verdict

__all__ = ["ActivationL1", "ActivationL2", "MeanActivation", "StandardDeviation"]


@dataclass(frozen=True)
class Activation(Looking):
    """What these criteria share: one reading, of the layer's own output or at another place."""

    tensor: Where = "pre_bn"
    label: ClassVar[str] = ""

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:
        return {"moments": self.at(layer, Moments())}

    def judge(
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        moments = results["moments"]
        assert isinstance(moments, MomentsResult)
        scores = self.score(moments)
        return verdict(layer, self.label, scores, tensor=self.tensor, examples=moments.examples)

    @abstractmethod
    def score(self, moments: MomentsResult) -> Tensor:
        """(units,) scores."""


@dataclass(frozen=True)
class MeanActivation(Activation):
    """Signed mean over examples and positions (spec majority-voting-pruning, 3 and 12).

    >>> MeanActivation().wants(Layer("fc", __import__("torch").nn.Linear(1, 1), 1))["moments"].key
    ('moments',)
    """

    label: ClassVar[str] = "mean activation"

    def score(self, moments: MomentsResult) -> Tensor:  # noqa: D102
        return moments.mean


@dataclass(frozen=True)
class StandardDeviation(Activation):
    """Standard deviation over the data, not within an example (spec majority-voting-pruning, 3).

    >>> StandardDeviation(tensor="seen").label
    'standard deviation'
    """

    label: ClassVar[str] = "standard deviation"

    def score(self, moments: MomentsResult) -> Tensor:  # noqa: D102
        return moments.sd


@dataclass(frozen=True)
class ActivationL1(Activation):
    """Mean over examples of the l1 norm of a unit's activation (spec majority-voting-pruning, 3).

    >>> ActivationL1().label
    'activation l1'
    """

    label: ClassVar[str] = "activation l1"

    def score(self, moments: MomentsResult) -> Tensor:  # noqa: D102
        return moments.l1 / moments.examples


@dataclass(frozen=True)
class ActivationL2(Activation):
    """l2 norm of a unit's activation over the whole data set (spec majority-voting-pruning, 3).

    >>> ActivationL2().label
    'activation l2'
    """

    label: ClassVar[str] = "activation l2"

    def score(self, moments: MomentsResult) -> Tensor:  # noqa: D102
        return moments.l2
