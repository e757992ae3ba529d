"""Units that are dead: without weight, or silenced by the batch norm behind them. Spec ssim-kmeans-pruning, 6.2.

Their output does not change with the input. Criteria that look at weights alone may keep them nevertheless.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.judge import Layer
from nervure.nets.structure.surgery import Graph
from nervure.prune.criteria.norms import rows
from nervure.prune.criteria.trail import NORMS

__all__ = ["SILENT", "dead_units", "loudness", "norm_behind", "zero_rows"]

FEW = 16
SILENT = 1e-3  # a batch norm gives a unit a standard deviation of 1 before training


def norm_behind(net: nn.Module, graph: Graph, layer: Layer) -> nn.Module | None:
    """The batch norm that reads what a layer gives.

    >>> from nervure.nets.structure.layers import examine, layers
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1))
    >>> norm_behind(net, examine(net, torch.randn(3, 2)), layers(net, torch.randn(3, 2))[0]) is net[1]
    True
    """
    given = {call.gave.mark for call in graph.calls if call.module == layer.name}
    readers = (net.get_submodule(call.module) for call in graph.calls if call.given.mark in given)
    return next((one for one in readers if isinstance(one, NORMS)), None)


def loudness(norm: nn.Module) -> Tensor:
    """The standard deviation of what a batch norm gives, by its running variance: ``|gamma| std / sqrt(var + eps)``.

    >>> norm = nn.BatchNorm1d(2)
    >>> _ = norm.weight.data.copy_(torch.tensor([0.0, -2.0]))
    >>> loudness(norm).round(decimals=3)
    tensor([0., 2.])
    """
    assert isinstance(norm, NORMS)
    scale = torch.ones(norm.num_features) if norm.weight is None else norm.weight.detach().abs().cpu()
    if norm.running_var is None:
        return scale
    variance = norm.running_var.detach().cpu()
    return scale * (variance / (variance + norm.eps)).sqrt()


def zero_rows(values: Tensor) -> Tensor:
    """Which rows of (rows, values) are zeros throughout: the first few values tell of nearly all that they are not.

    >>> zero_rows(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    tensor([ True, False])
    """
    zero = ~values[:, :FEW].any(dim=1)
    zero[zero.clone()] = ~values[zero].any(dim=1)
    return zero


def dead_units(net: nn.Module, graph: Graph, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Which units of each layer are dead, (units,) bool; layers whose units have no row of weights are left out.

    >>> from nervure.nets.structure.layers import examine, layers
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> _ = net[0].weight.data[1].zero_()
    >>> dead_units(net, examine(net, torch.randn(3, 2)), layers(net, torch.randn(3, 2)))["0"]
    tensor([False,  True, False])
    """
    found = {}
    for layer in layers:
        try:
            own = rows(layer, dict(layer.module.named_parameters(recurse=False)))
        except InputError:
            continue
        dead = zero_rows(own).cpu()
        norm = norm_behind(net, graph, layer)
        if norm is not None and len(loud := loudness(norm)) == len(dead):
            dead |= loud < SILENT
        found[layer.name] = dead
    return found
