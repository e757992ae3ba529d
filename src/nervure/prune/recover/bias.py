"""Bias correction: the mean output of each layer that lost inputs is put back where it was."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.observe.borrowed import device_of
from nervure.prune.recover.passes import visit
from nervure.prune.recover.recovery import Given, Repair

__all__ = ["BiasCorrection"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BiasCorrection:
    """b ← b + mean(uncut output) - mean(cut output), shallow to deep, for layers that have a bias.

    A layer without a bias is left to the batch norm behind it (method ``batch-norm``).

    >>> BiasCorrection()
    BiasCorrection()
    """

    def __call__(self, net: nn.Module, given: Given) -> nn.Module:
        """Correct layer by layer, in the order of calls."""
        wanted = {name: None for name in given.consumers if net.get_submodule(name).bias is not None}
        if missing := [name for name in given.consumers if name not in wanted]:
            log.info("no bias to correct in %s", ", ".join(missing))
        if not wanted:
            return net
        device = device_of(net)
        aim, calls = _means(given.original, given.batches(), wanted, device)
        for layer, target in aim.items():
            bias = net.get_submodule(layer).bias
            assert isinstance(bias, Tensor)
            target = target[given.outputs(layer).to(device)]
            now, _ = _means(net, given.batches(), {layer: calls[layer]}, device)
            gap = target - now[layer]
            with torch.no_grad():
                bias.add_(gap.to(bias.dtype))
            size = float(target.square().sum()) or 1.0
            given.tell(Repair(layer, "bias", float(gap.square().sum()) / size, 0.0, len(given.at)))
        return net


def _means(
    net: nn.Module, batches: Iterable[Batch], calls: Mapping[str, int | None], device: torch.device
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """(outputs,) float64 mean of each layer's output, in the order of calls, and how often a pass calls each."""
    sums: dict[str, Tensor] = {}
    rows: dict[str, int] = {}
    seen: dict[str, int] = {}
    passes = 0

    def take(layer: str, value: Tensor) -> None:
        flat = value.to(torch.float64).transpose(0, 1).flatten(1)
        sums[layer] = sums[layer] + flat.sum(1) if layer in sums else flat.sum(1)
        rows[layer] = rows.get(layer, 0) + flat.shape[1]
        seen[layer] = seen.get(layer, 0) + 1

    def counted() -> Iterable[Batch]:
        nonlocal passes
        for batch in batches:
            passes += 1
            yield batch

    visit(net, counted(), calls, take, device=device)
    return {layer: sums[layer] / rows[layer] for layer in sums}, {layer: seen[layer] // passes for layer in seen}
