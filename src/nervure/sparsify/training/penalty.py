"""L1: a penalty on magnitudes while training, and what it left near zero removed (spec isparse, 2.10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.sparsify.criteria.trained import L1
from nervure.sparsify.layers import checked, prunable, weight_of
from nervure.sparsify.mask import Mask
from nervure.sparsify.training.figures import training_figures
from nervure.train.callbacks import Callback

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["L1Penalty"]


class L1Penalty(Callback):
    """Adds ``strength * sum |W|`` to the loss, by its gradient; at the end weights under ``threshold`` become zero.

    The sparsity is whatever results; the figures and the row ``sparsity`` of history say what that is.

    Parameters
    ----------
    strength, threshold : float
        Of the penalty; below which magnitude a weight goes.
    layers, exclude : sequence of str
        Only these layers; all but these.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> l1 = {"name": "l1-penalty", "options": {"strength": 0.001}}
    >>> recipe = nv.train.Recipe(epochs=2, callbacks=(l1,))
    >>> run = nv.train.fit(nv.nets.build("mlp", ds, widths=(16,)), ds, recipe, device="cpu")
    >>> 0 < run.history[-1]["sparsity"] < 1
    True
    """

    def __init__(
        self,
        strength: float = 1e-5,
        threshold: float = 1e-3,
        layers: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        L1(strength, threshold)
        self.strength, self.threshold, self.layers, self.exclude = strength, threshold, layers, tuple(exclude)

    def start(self, loop: Loop) -> None:
        """Find the layers."""
        self.layers = tuple(layer.name for layer in checked(prunable(loop.net, self.layers, self.exclude)))

    @torch.no_grad()
    def after_backward(self, loop: Loop, batch: Batch) -> None:
        """Add the penalty's gradient."""
        for name in self.layers or ():
            weight = weight_of(loop.net.get_submodule(name))
            if weight.grad is not None:
                weight.grad.add_(weight.sign(), alpha=self.strength)

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> None:
        """Note how many weights would go now."""
        row["sparsity"] = self._mask(loop).sparsity

    @torch.no_grad()
    def finish(self, loop: Loop) -> None:
        """Remove what is near zero from the network that is handed over."""
        if loop.best is not None and loop.recipe.keep == "best":
            loop.net.load_state_dict(loop.best.state)
            loop.best = None
        mask = self._mask(loop)
        if empty := [row.layer for row in mask.rows if not row.kept]:
            raise InputError(
                f"l1-penalty: every edge of layer {empty[0]!r} fell under {self.threshold:g}; give a smaller strength"
            )
        for name, one in mask.masks.items():
            weight = weight_of(loop.net.get_submodule(name))
            weight.masked_fill_(~one.to(weight.device), 0)
        loop.evidence |= training_figures(mask, loop.history)

    def _mask(self, loop: Loop) -> Mask:
        weights = {name: weight_of(loop.net.get_submodule(name)).detach() for name in self.layers or ()}
        masks = {name: one.abs() >= self.threshold for name, one in weights.items()}
        return Mask.for_net(loop.net, masks, criterion="l1")
