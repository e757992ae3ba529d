"""What the loss says of a unit: its mean gradient, and Taylor's estimate of the loss without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe, Wanted
from nervure.observe.gradients import GradientTimesActivation, MeanGradientResult
from nervure.observe.gradients import MeanGradient as Gradient
from nervure.observe.statistic import Site, Statistic
from nervure.prune.criteria.seen import example_of, prepared
from nervure.prune.criteria.trail import trails
from nervure.prune.criteria.verdict import verdict

__all__ = ["MeanGradient", "Taylor"]


@dataclass(frozen=True)
class OfGradient(Criterion):
    """What these criteria share: they look behind the activation where that is a module, else at the output."""

    needs_labels: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = True
    tensor: Literal["active", "pre_bn"] = "active"
    _places: Mapping[str, Site] = prepared()

    def __post_init__(self) -> None:
        if self.tensor not in ("active", "pre_bn"):
            raise InputError(f"tensor = {self.tensor!r}; give active or pre_bn (the layer's own output)")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> Self:
        if self.tensor == "pre_bn":
            return self
        found = trails(net, example_of(batches), layers)
        places = {name: trail.active for name, trail in found.items() if trail.active is not None}
        return replace(self, _places=places)

    def _at(self, layer: Layer, statistic: Statistic) -> Wanted:
        return self._places.get(layer.name, Site(layer.name)), statistic


@dataclass(frozen=True)
class MeanGradient(OfGradient):
    """Mean over examples and positions of the gradient at a unit's map (spec majority-voting-pruning, 12).

    ``signed`` follows the printed formula, in which signs cancel; magnitudes otherwise.

    >>> MeanGradient(signed=True).needs_gradient
    True
    """

    signed: bool = False

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {"gradient": self._at(layer, Gradient())}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        gradient = results["gradient"]
        assert isinstance(gradient, MeanGradientResult)
        scores = gradient.signed if self.signed else gradient.absolute
        return verdict(layer, "mean gradient", scores, signed=self.signed, tensor=self.tensor)


@dataclass(frozen=True)
class Taylor(OfGradient):
    """Mean over examples of ``|sum over positions of activation x gradient|``.

    Sources: spec majority-voting-pruning, 3; ssim-kmeans-pruning, 7.1, after which the scores of a layer have
    length 1, unless ``normalised`` is off, so that layers can be compared.

    >>> Taylor().needs_labels
    True
    """

    normalised: bool = True

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {"taylor": self._at(layer, GradientTimesActivation())}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        scores = results["taylor"]
        assert isinstance(scores, Tensor)
        length = scores.square().sum().sqrt()
        if self.normalised and length > 0:
            scores = scores / length
        return verdict(layer, "Taylor importance", scores, tensor=self.tensor)
