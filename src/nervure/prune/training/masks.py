"""Weights that stay zero while the others train: masks on gradients, weights and the optimizer's memory.

Source: spec majority-voting-pruning, 4 (mask realisation); spec ssim-kmeans-pruning, 2.7 (mask mode).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.structure.cut import Kept as Units
from nervure.nets.structure.cut import removed
from nervure.nets.structure.layers import examine
from nervure.nets.structure.silence import by_group
from nervure.prune.training.carry import parameter_masks
from nervure.train.callbacks import Callback
from nervure.train.optimizer import Change

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["Masked", "WeightMask", "example_of"]

_OVER_UNITS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def example_of(loop: Loop) -> Tensor:
    """Three training samples (3, ...) where the network is."""
    return loop.ds.batch(loop.ds.indices("train")[:3]).x.to(loop.fabric.device)


class Masked(Callback):
    """A callback with a mask for some parameters: where it is False, the weight is zero and learns nothing.

    Momentum and weight decay revive no weight: gradients are masked before the step, weights after it, and the
    optimizer's memory when a mask takes hold.

    Attributes
    ----------
    masks : dict of str to tensor
        By parameter name, bool, of the parameter's shape.
    """

    def __init__(self) -> None:
        self.masks: dict[str, Tensor] = {}

    @torch.no_grad()
    def hold(self, loop: Loop) -> None:
        """Zero the masked weights and what the optimizer remembers of them."""
        for name, mask in self.masks.items():
            parameter = loop.net.get_parameter(name)
            parameter.mul_(mask)
            for value in loop.optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == mask.shape:
                    value.mul_(mask)

    def follow(self, change: Change) -> None:
        """Cut the masks as a change cuts the network's parameters."""
        self.masks = {
            name: kept.of(self.masks[kept.name]) for name, kept in change.kept.items() if kept.name in self.masks
        }

    def absent(self) -> int:
        """How many weights are masked."""
        return sum(mask.numel() - int(mask.sum()) for mask in self.masks.values())

    def after_backward(self, loop: Loop, batch: Batch) -> None:
        """Mask the gradients."""
        for name, mask in self.masks.items():
            gradient = loop.net.get_parameter(name).grad
            if gradient is not None:
                gradient.mul_(mask)

    @torch.no_grad()
    def after_step(self, loop: Loop, batch: Batch) -> None:
        """Mask the weights."""
        for name, mask in self.masks.items():
            loop.net.get_parameter(name).mul_(mask)

    def state_dict(self) -> dict[str, Any]:
        """The masks."""
        return {"masks": dict(self.masks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.masks = dict(state["masks"])


class WeightMask(Masked):
    """Keeps all weights of cut units at zero, in a network of the old size.

    Incoming weights, biases, entries in norms and outgoing weights: training then gives the weights that training of
    the cut network gives. It proves that, and serves methods that prune by mask; a smaller network trains faster. A
    norm over units would count those at zero too, so units that pass one are refused.

    Parameters
    ----------
    keep : mapping of layer name to units
        Which units stay, as positions or a mask (units,); layers that are not named stay whole. ``plan.kept`` fits.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> net = nv.nets.build("mlp", ds, widths=(8,))
    >>> mask = {"name": "weight-mask", "options": {"keep": {"classifier.0": [1, 5]}}}
    >>> recipe = nv.train.Recipe(epochs=1, callbacks=(mask,))
    >>> nv.train.fit(net, ds, recipe, device="cpu").net.classifier[2].weight[0].nonzero().flatten()
    tensor([1, 5])
    """

    def __init__(self, keep: Units) -> None:
        super().__init__()
        if not isinstance(keep, Mapping) or not keep:
            raise InputError("weight-mask: give keep, the units that stay by layer")
        self.keep = keep

    def start(self, loop: Loop) -> None:
        """Find the weights of the cut units, and zero them."""
        groups = examine(loop.net, example_of(loop)).groups
        kept = by_group(groups, self.keep)
        for name, kind in removed(groups, kept)[0]:
            if kind == "through" and isinstance(norm := loop.net.get_submodule(name), _OVER_UNITS):
                raise InputError(
                    f"weight-mask: {name!r} is a {type(norm).__name__}, which would count masked units too; "
                    "cut the network instead, or keep all units that pass it"
                )
        found = parameter_masks(loop.net, groups, kept)
        self.masks = {name: mask.to(loop.fabric.device) for name, mask in found.items()}
        self.hold(loop)
