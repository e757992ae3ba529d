"""What a layer's output passes next: its batch norm, and the place behind its activation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.judge import Layer
from nervure.objectives.call import call
from nervure.observe.borrowed import borrowed
from nervure.observe.layout import unit_axis
from nervure.observe.statistic import Site

__all__ = ["Trail", "trails"]

NORMS = nn.modules.batchnorm._BatchNorm
WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.MultiheadAttention, nn.RNNBase, nn.Embedding)
QUIET = (nn.modules.dropout._DropoutNd, nn.Identity, nn.Flatten)


@dataclass
class Trail:
    """``norm`` is the batch norm that a layer's output passes, ``active`` the place behind its activation.

    ``mapped`` is the last place where its units are still maps, before a flatten. Each is None where there is
    none, before another layer reads the output or an operation that is no module changes it. ``bare`` says that the
    norm reads this very output, unit by unit. ``active`` lies before any pooling and flatten that follow the
    activation; ``read`` says that nothing follows, so that the next layer reads this very tensor.
    """

    norm: str | None = None
    bare: bool = False
    active: Site | None = None
    mapped: Site | None = None
    read: bool = False

    def maps(self, layer: Layer, tensor: str = "seen") -> Site:
        """Where the units of ``layer`` are maps: behind the activation, or as they are read but for a flatten.

        >>> Trail(active=Site("1"), mapped=Site("2")).maps(Layer("0", nn.Conv2d(1, 1, 1), 1), "active").module
        '1'
        """
        if tensor == "active" and self.active is not None:
            return self.active
        if layer.spread > 1 or layer.reader is None:
            return self.mapped or Site(layer.name)
        return layer.reader


def trails(net: nn.Module, batch: Batch, layers: Sequence[Layer]) -> dict[str, Trail]:
    """The trail of each layer when ``net`` evaluates ``batch``, by layer name; ``net`` is left as it was.

    >>> net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.ReLU(), nn.Linear(1, 1))
    >>> batch = Batch(torch.zeros(2, 1), None, torch.arange(2))
    >>> trail = trails(net, batch, [Layer("0", net[0], 1)])["0"]
    >>> trail.norm, trail.bare, trail.active, trail.mapped == trail.active, trail.read
    ('1', True, Site(module='2', side='output'), True, False)
    """
    found = {layer.name: Trail() for layer in layers}
    readers = {layer.reader: layer.name for layer in layers if layer.reader is not None}
    owners: dict[int, tuple[str, Tensor]] = {}
    own: dict[str, tuple[Tensor, int]] = {}
    active: dict[str, Tensor] = {}
    axes: dict[str, int] = {}

    def after(name: str, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if args and (reads := readers.get(Site(name, "input"))) is not None:
            found[reads].read = active.get(reads) is args[0]
        if not isinstance(out, Tensor):
            return
        if name in found:
            owners[id(out)], axes[name] = (name, out), out.ndim
            if unit_axis(module) % out.ndim == 1:
                own[name] = out, out._version
            return
        owner = owners.get(id(args[0])) if args else None
        if owner is None or isinstance(module, WEIGHTED):
            return
        # Tensors are kept while the trail is followed, so that no other can take over an identity.
        owners[id(out)] = (owner[0], out)
        trail = found[owner[0]]
        if trail.norm is None and isinstance(module, NORMS):
            given, version = own.get(owner[0], (None, 0))
            # What was written to in place meanwhile is the same tensor, in another version.
            trail.bare = given is not None and given is args[0] and given._version == version
        _step(trail, name, module, args[0].shape, out.shape, flat=out.ndim != axes[owner[0]])
        if trail.active == Site(name):
            active[owner[0]] = out

    with ExitStack() as stack:
        device = stack.enter_context(borrowed(net))
        for name, module in net.named_modules():
            if name in found or not any(True for _ in module.children()):
                hook = module.register_forward_hook(lambda module, args, out, name=name: after(name, module, args, out))
                stack.callback(hook.remove)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        call(net, batch.to(device))
    return found


def _step(trail: Trail, name: str, module: nn.Module, before: torch.Size, after: torch.Size, *, flat: bool) -> None:
    if isinstance(module, NORMS):
        trail.norm = trail.norm or name
    elif before == after and trail.active is None and not flat and not isinstance(module, QUIET):
        trail.active = Site(name)
    if before[:2] == after[:2] and len(before) == len(after):
        trail.mapped = Site(name)
