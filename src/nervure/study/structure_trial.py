"""The trial ``prune-structure``: what a network of given widths costs, counted exactly; nothing is trained.

Source: spec majority-voting-pruning, 0.5 and 11; spec ssim-kmeans-pruning, 4.1 and 4.2.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from nervure import nets, prune
from nervure.judge import Layer
from nervure.nets.structure.layers import examine, layers_in
from nervure.study.asked import chosen_of, cost_of, widths
from nervure.study.settings import OfLayers
from nervure.study.trials import Job, Measured

__all__ = ["StructureSettings", "structure_trial"]


class StructureSettings(OfLayers):
    """What the trial ``prune-structure`` is told beside which layers.

    Parameters
    ----------
    net, net_options, in_shape, classes
        The network, built without data.
    keep : float or list of int
        A share of each layer, or a width for each; 1.0 leaves the network whole.
    by_layer : bool
        Also count each layer.
    """

    trial: ClassVar[str] = "prune-structure"

    net: str
    net_options: dict[str, Any] = Field(default_factory=dict)
    in_shape: tuple[int, ...]
    classes: int = Field(10, ge=2)
    keep: float | tuple[int, ...] = 1.0
    by_layer: bool = False


def structure_trial(job: Job) -> Measured:
    """Count a network that is really cut.

    Of the whole network: ``macs``, ``flops`` (two for a multiply-add), ``parameters``, ``conv_weights``. Of the layers
    that are cut: ``units``, the share of them that is gone as ``removed``, and ``own_parameters``, ``own_macs``, which
    leave each layer as many inputs as it had, as some works count. ``nominal_macs`` is the uncut network's times the
    share of units that stay, ``nominal_flops`` twice that.

    >>> settings = {"net": "lenet5", "in_shape": [1, 28, 28], "keep": [3, 8]}
    >>> structure_trial(Job("digits", settings=settings)).metrics["removed"]
    0.5
    """
    settings = StructureSettings.read(job.settings)
    net = nets.build(settings.net, in_shape=settings.in_shape, classes=settings.classes, **settings.net_options)
    example = torch.randn(3, *settings.in_shape, generator=torch.Generator().manual_seed(0))
    graph = examine(net, example)
    alone = [group for group in graph.free if len(group.layers) == 1 and not group.shortcut]
    layers = chosen_of(net, layers_in(net, graph, alone), settings.kind, settings.first, settings.count)
    keep = widths(settings.keep, layers)
    small = net
    if any(keep[layer.name] < layer.units for layer in layers.values()):
        target = prune.Target(keep=dict(keep))
        small = prune.plan(net, None, "l1", target, example=example, device=job.device).apply(net, example)
    whole, cost = nets.count(net, settings.in_shape), cost_of(net, small, settings.in_shape)
    units, stay = sum(layer.units for layer in layers.values()), sum(keep.values())
    ops = {row.name: row.ops for row in whole.rows}
    own = {number: _own(layer, keep[layer.name], ops[layer.name]) for number, layer in layers.items()}
    nominal = whole.macs * stay / units
    metrics = {
        **cost,
        "flops": 2 * cost["macs"],
        "conv_weights": sum(one.weight.numel() for one in small.modules() if isinstance(one, nn.Conv1d | nn.Conv2d)),
        "units": stay,
        "removed": 1 - stay / units,
        "nominal_macs": nominal,
        "nominal_flops": 2 * nominal,
        "own_parameters": sum(parameters for parameters, _ in own.values()),
        "own_macs": sum(macs for _, macs in own.values()),
    }
    if settings.by_layer:
        for number, (parameters, macs) in own.items():
            metrics |= {f"own_parameters {number}": parameters, f"own_macs {number}": macs}
    return Measured({name: float(value) for name, value in metrics.items()})


def _own(layer: Layer, kept: int, macs: int) -> tuple[int, int]:
    """Parameters and multiply-adds of a layer that keeps some units and all its inputs."""
    weight = layer.module.weight
    assert isinstance(weight, torch.Tensor)
    each = math.prod(weight.shape[1:]) + (layer.module.bias is not None)
    return each * kept, macs // layer.units * kept
