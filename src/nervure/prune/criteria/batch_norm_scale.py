"""Scale of the batch norm behind a unit: how loud the network has learned to let it be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.prune.criteria.seen import example_of, prepared
from nervure.prune.criteria.trail import trails
from nervure.prune.criteria.verdict import verdict

__all__ = ["BatchNormScale"]


@dataclass(frozen=True)
class BatchNormScale(Criterion):
    """``|gamma|`` of the batch norm that a layer's output passes (network slimming).

    A layer without one is refused by name.

    >>> BatchNormScale().needs_gradient
    False
    """

    _scales: Mapping[str, tuple[str, Tensor]] = prepared()

    def prepare(  # noqa: D102
        self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]
    ) -> BatchNormScale:
        scales: dict[str, tuple[str, Tensor]] = {}
        for name, trail in trails(net, example_of(batches), layers).items():
            weight = None if trail.norm is None else net.get_submodule(trail.norm).weight
            if trail.norm is not None and isinstance(weight, Tensor):
                scales[name] = (trail.norm, weight.detach().abs())
        return replace(self, _scales=scales)

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if layer.name not in self._scales:
            raise InputError(
                f"layer {layer.name!r} has no batch norm with a scale behind it; "
                "leave it out, or judge it by another criterion such as l1"
            )
        norm, scale = self._scales[layer.name]
        return verdict(layer, "batch-norm scale", scale, norm=norm)
