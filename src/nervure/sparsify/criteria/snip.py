"""SNIP: what the loss would lose first, by a weight times its gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.objectives import Objective
from nervure.observe.borrowed import borrowed
from nervure.sparsify.criteria.edges import magnitude

__all__ = ["SNIP", "weight_gradients"]


def weight_gradients(
    net: nn.Module, batches: Iterable[Batch], layers: Sequence[str], objective: Objective
) -> dict[str, Tensor]:
    """Gradient of the mean loss over all samples on each layer's weight; nothing is left in ``.grad``.

    >>> net = nn.Linear(1, 1)
    >>> batch = Batch(torch.full((2, 1), 3.0), torch.zeros(2), torch.arange(2))
    >>> weight_gradients(net, [batch], [""], lambda net, batch: (net(batch.x).mean(), {}))[""]
    tensor([[3.]])
    """
    sums: dict[str, Tensor] = {}
    seen = 0
    with borrowed(net, frozen=True) as device, torch.inference_mode(False), torch.enable_grad():
        held = {name: net.get_submodule(name)._parameters["weight"] for name in layers}
        weights = {name: one.requires_grad_(True) for name, one in held.items() if one is not None}
        for batch in batches:
            moved = batch.to(device)
            loss, _ = objective(net, moved)
            if not bool(loss.isfinite()):
                raise InputError(f"the loss on training samples is {float(loss.detach())}; snip needs a finite one")
            gradients = torch.autograd.grad(loss * len(moved.x), list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, gradients, strict=True):
                part = torch.zeros_like(weights[name]) if gradient is None else gradient
                sums[name] = sums[name] + part if name in sums else part
            seen += len(moved.x)
    if not seen:
        raise InputError("no samples to see gradients on; the loader is empty")
    return {name: one.detach() / seen for name, one in sums.items()}


@dataclass(frozen=True)
class SNIP(Criterion):
    """``|W dLoss/dW|`` of the mean loss over the samples, the network in evaluation mode.

    Meant for a network before training, ranked globally; it serves at any time.

    >>> SNIP().needs_gradient
    True
    """

    _objective: Objective | None = field(default=None, repr=False, compare=False)
    _gradients: Mapping[str, Tensor] | None = field(default=None, repr=False, compare=False)

    needs_labels: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = True
    comparable: ClassVar[bool] = True

    def minimising(self, objective: Objective) -> SNIP:  # noqa: D102
        return replace(self, _objective=objective)

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> SNIP:  # noqa: D102
        if self._objective is None:
            raise InputError("snip looks at gradients; give an objective: (net, batch) -> (loss, logs)")
        names = [layer.name for layer in layers]
        return replace(self, _gradients=weight_gradients(net, batches, names, self._objective))

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if self._gradients is None:
            raise InputError(f"layer {layer.name!r}: snip must be prepared; judge with nervure.judge.judge")
        size = magnitude(layer, weights)
        return Judgement(size * self._gradients[layer.name].abs().to(size))
