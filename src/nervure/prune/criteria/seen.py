"""Where a criterion looks at the units of a layer, and on which example it traces a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Any, Literal

from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Layer, Wanted
from nervure.observe.folded import Folded
from nervure.observe.statistic import Statistic

__all__ = ["Where", "at", "checked", "example_of", "prepared"]

Where = Literal["pre_bn", "seen"]


def checked(tensor: str) -> None:
    """An error unless ``tensor`` names a place.

    >>> checked("seen")
    """
    if tensor not in ("pre_bn", "seen"):
        raise InputError(f"tensor = {tensor!r}; give pre_bn (the layer's own output) or seen (as it is read)")


def at(layer: Layer, statistic: Statistic, tensor: str = "seen") -> Wanted:
    """``statistic`` of the layer's own output, or as the next layer reads the units.

    Behind a flatten the values of one unit count as its positions.

    >>> from torch import nn
    >>> from nervure.observe import Moments, Site
    >>> layer = Layer("0", nn.Conv2d(1, 2, 1), 2, reader=Site("3"), spread=4)
    >>> at(layer, Moments())[0], at(layer, Moments(), "pre_bn").key
    (Site(module='3', side='output'), ('moments',))
    """
    if tensor == "pre_bn" or layer.reader is None:
        return statistic
    return layer.reader, Folded(statistic, layer.spread) if layer.spread > 1 else statistic


def example_of(batches: Iterable[Batch]) -> Tensor:
    """Two examples (or the only one) of the first batch.

    >>> import torch
    >>> example_of([Batch(torch.zeros(5, 3), None, torch.arange(5))]).shape
    torch.Size([2, 3])
    """
    for batch in batches:
        x = batch if isinstance(batch, Tensor) else batch.x
        if len(x):
            return x[:2]
    raise InputError("no batches to trace the network on; the loader is empty")


def prepared() -> Any:
    """A field that ``prepare`` fills by layer name: knowledge of one network, no option of the criterion.

    >>> prepared().metadata["option"]
    False
    """
    return field(default_factory=dict, repr=False, compare=False, metadata={"option": False})
