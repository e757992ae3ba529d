"""Dropout of activations while training, as a baseline: its sparsity is nominal (spec isparse, 2.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nervure.errors import InputError
from nervure.judge import layers_of
from nervure.sparsify.mask import Mask
from nervure.sparsify.masked import masks_of
from nervure.sparsify.training.figures import training_figures
from nervure.train.callbacks import Callback

if TYPE_CHECKING:
    from nervure.train.loop import Loop

__all__ = ["ActivationDropout"]


class ActivationDropout(Callback):
    """Drops each activation that a linear layer or convolution reads, with probability ``share``, while training.

    The network's own input is left alone, also where the first layer that runs reads it pooled or flattened. Tested,
    the network is dense, which the row ``sparsity`` of history says; ``nominal`` is what was asked.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> drop = {"name": "activation-dropout", "options": {"share": 0.5}}
    >>> recipe = nv.train.Recipe(epochs=1, callbacks=(drop,))
    >>> row = nv.train.fit(nv.nets.build("mlp", ds, widths=(16,)), ds, recipe, device="cpu").history[0]
    >>> row["sparsity"], row["nominal"]
    (0.0, 0.5)
    """

    def __init__(self, share: float = 0.5) -> None:
        if isinstance(share, bool) or not 0 <= share < 1:
            raise InputError(f"activation-dropout: share = {share!r}; give a number from 0 up to 1, without 1")
        self.share = share
        self._handles: list[RemovableHandle] = []
        self._given: Tensor | None = None
        self._hidden = False

    def start(self, loop: Loop) -> None:
        """Hook the layers, if their edges can be counted."""
        layers = layers_of(loop.net)
        made = [layer.name for layer in layers if layer.module._parameters.get("weight") is None]
        if made and not masks_of(loop.net):
            raise InputError(
                f"activation-dropout: layer {made[0]!r} computes its weight from others (a weight norm), so that its "
                "edges cannot be counted; remove that first"
            )
        Mask.of(loop.net)
        self._handles.append(loop.net.register_forward_pre_hook(self._enter))
        self._handles.append(loop.net.register_forward_hook(self._leave, always_call=True))
        for layer in layers:
            self._handles.append(layer.module.register_forward_pre_hook(self._drop))

    def after_epoch(self, loop: Loop, row: dict[str, float | int | str | None]) -> None:
        """Note the real sparsity beside the nominal one."""
        row["sparsity"] = Mask.of(loop.net).sparsity
        row["nominal"] = self.share

    def finish(self, loop: Loop) -> None:
        """Take the hooks away, and leave the figures."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        loop.evidence |= training_figures(None, loop.history)

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._given = args[0] if args and isinstance(args[0], Tensor) else None
        self._hidden = False  # until a layer has run, whatever is read comes from the input alone

    def _leave(self, module: nn.Module, args: tuple[Any, ...], out: object) -> None:
        self._given = None

    def _drop(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x = args[0] if args else None
        # A view of the network's input, as a flattened picture, starts in the same memory.
        same = self._given is not None and isinstance(x, Tensor) and x.data_ptr() == self._given.data_ptr()
        own, self._hidden = same or not self._hidden, True
        if not module.training or not isinstance(x, Tensor) or own:
            return None
        return (F.dropout(x, self.share), *args[1:])
