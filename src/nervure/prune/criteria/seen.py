"""Where a criterion looks at the units of a layer, and on which example it traces a network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Layer, Wanted
from nervure.observe.folded import Folded
from nervure.observe.statistic import Site, Statistic
from nervure.prune.criteria.trail import Trail, trails

__all__ = ["Looking", "Where", "at", "example_of", "prepared"]

Where = Literal["pre_bn", "pre_act", "active", "seen"]


def at(layer: Layer, statistic: Statistic, tensor: Where = "seen", trail: Trail | None = None) -> Wanted:
    """``statistic`` at one place of the units of ``layer``, of which ``trail`` tells what they pass.

    ``"pre_bn"``: the layer's own output. ``"pre_act"``: what the activation reads; behind the batch norm, or the
    layer's own output, where the activation is no module. ``"active"``: behind the activation, before any pooling;
    as it is read where the activation is no module. ``"seen"``: as the next layer reads the units. Behind a flatten
    the values of one unit count as its positions.

    >>> from torch import nn
    >>> from nervure.observe import Moments, Site
    >>> layer = Layer("0", nn.Conv2d(1, 2, 1), 2, reader=Site("3"), spread=4)
    >>> at(layer, Moments())[0], at(layer, Moments(), "pre_bn").key
    (Site(module='3', side='output'), ('moments',))
    """
    trail = trail or Trail()
    if tensor == "active" and trail.active is not None and not trail.read:
        return trail.active, statistic
    if tensor == "pre_act" and trail.active is not None:
        return Site(trail.active.module, "input"), statistic
    if tensor == "pre_act" and trail.norm is not None:
        return Site(trail.norm), statistic
    if tensor in ("pre_bn", "pre_act") or layer.reader is None:
        return statistic
    return layer.reader, Folded(statistic, layer.spread) if layer.spread > 1 else statistic


def example_of(batches: Iterable[Batch | Tensor]) -> Batch:
    """Two examples (or the only one) of the first batch, with what belongs to them.

    >>> example_of([Batch(torch.zeros(5, 3), None, torch.arange(5))]).x.shape
    torch.Size([2, 3])
    """
    for item in batches:
        batch = Batch(item, None, torch.arange(len(item))) if isinstance(item, Tensor) else item
        if len(batch.x):
            return Batch(*(None if part is None else part[:2] for part in batch))  # type: ignore[arg-type]
    raise InputError("no batches to trace the network on; the loader is empty")


def prepared() -> Any:
    """A field that ``prepare`` fills by layer name: knowledge of one network, no option of the criterion.

    >>> prepared().metadata["option"]
    False
    """
    return field(default_factory=dict, repr=False, compare=False, metadata={"option": False})


class Looking(Criterion):
    """A criterion with an option ``tensor``, the place of a layer's units that it looks at: see :func:`at`."""

    tensor: Where
    _trails: Mapping[str, Trail] = MappingProxyType({})

    def __post_init__(self) -> None:
        if self.tensor not in get_args(Where):
            raise InputError(f"tensor = {self.tensor!r}; give pre_bn, pre_act, active or seen")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> Self:  # noqa: D102
        if self.tensor in ("pre_bn", "seen"):
            return self
        made = copy.copy(self)
        object.__setattr__(made, "_trails", trails(net, example_of(batches), layers))
        return made

    def at(self, layer: Layer, statistic: Statistic) -> Wanted:
        """``statistic`` at the place that was asked for."""
        return at(layer, statistic, self.tensor, self._trails.get(layer.name))
