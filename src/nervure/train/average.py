"""A running average of the weights, handed over at the end of training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.train.callbacks import Callback

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["WeightAverage"]

log = logging.getLogger(__name__)


class WeightAverage(Callback):
    """Exponential running average of all weights and buffers (Polyak and Juditsky 1992).

    After each step ``average = decay * average + (1 - decay) * weights``, with a smaller decay over the first
    steps so that the start is forgotten. At the end the network takes the average of all steps, also where the recipe
    keeps the best epoch. What is zero in the weights that it replaces, those of the last epoch or the best, stays zero,
    so that edges removed while training stay removed. A network that another callback replaced begins a new average;
    one that was replaced after the last step keeps its own weights.

    Parameters
    ----------
    decay : float
        Between 0 and 1; 0.99 remembers about a hundred steps.

    Examples
    --------
    >>> WeightAverage(decay=1.5)
    Traceback (most recent call last):
    nervure.errors.InputError: weight-average: decay = 1.5; give a value from 0 to below 1
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"weight-average: decay = {decay}; give a value from 0 to below 1")
        self.decay = decay
        self._steps = 0
        self._average: dict[str, Tensor] = {}
        self._device: torch.device | None = None

    def start(self, loop: Loop) -> None:
        """Note where the weights are."""
        self._device = loop.fabric.device

    @torch.no_grad()
    def after_step(self, loop: Loop, batch: Batch) -> None:
        """Take in the weights as they are now."""
        self._steps += 1
        rate = 1 - min(self.decay, self._steps / (self._steps + 9))
        state = loop.net.state_dict()
        weights = dict(loop.net.named_parameters())
        if not self._fits(state):
            self._average = {name: value.clone() for name, value in state.items()}
            return
        for name, value in state.items():
            mean = self._average[name]
            if value.is_floating_point() and (name in weights or (value.isfinite() & mean.isfinite()).all()):
                mean.lerp_(value, rate)
            else:  # buffers may hold infinity on purpose
                mean.copy_(value)

    def finish(self, loop: Loop) -> None:
        """Put the average in the place of the weights that would be handed over."""
        best = loop.best if loop.recipe.keep == "best" else None
        handed = loop.net.state_dict() if best is None else best.state
        if self._fits(handed):
            averaged = {name: value.masked_fill(handed[name] == 0, 0) for name, value in self._average.items()}
            if best is None:
                loop.net.load_state_dict(averaged)
            else:  # where callbacks look for the best epoch's weights
                best.state = averaged
        elif self._average:
            log.warning("weight-average: the network was replaced after the last step; it keeps its own weights")

    def state_dict(self) -> dict[str, Any]:
        """Steps seen and the average."""
        return {"steps": self._steps, "average": self._average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._steps = int(state["steps"])
        self._average = {name: value.to(device=self._device) for name, value in state["average"].items()}

    def _fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether the average has the names and shapes of ``state``."""
        shapes = {name: value.shape for name, value in state.items()}
        return {name: value.shape for name, value in self._average.items()} == shapes
