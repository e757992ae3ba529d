"""A network of another's shape with new weights: the control that says what the weights were worth."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.build import rebuild
from nervure.nets.origin import Origin, origin_of
from nervure.nets.table import Network

__all__ = ["renewed"]


def renewed(net: nn.Module, seed: int = 0, build: str | Network | None = None) -> nn.Module:
    """A network of the same shape and Origin, with weights as its base is born with them.

    A layer that a cut made narrower gets as many of the base's new weights, times the root of the share of inputs that
    is left: initial weights have variances of one over the inputs.

    Parameters
    ----------
    net : Module
        Made by :func:`nervure.nets.build`, and of other widths since, at most; it is not changed.
    seed : int
        Of the weights.
    build : str or callable, optional
        The function that made its base, if it was the caller's own.

    Examples
    --------
    >>> from nervure import nets, prune
    >>> net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    >>> small = prune.plan(net, None, "l1", prune.Target(keep=0.5)).apply(net)
    >>> renewed(small, seed=1).classifier[2]
    Linear(in_features=4, out_features=2, bias=True)
    """
    origin = origin_of(net)
    if origin is None:
        raise InputError("a network with new weights needs one that nervure built; give the function that makes it")
    if strange := [step.kind for step in origin.steps if step.kind != "resize"]:
        raise InputError(f"new weights are for networks of other widths at most; this one has a step {strange[0]!r}")
    base = rebuild(Origin(origin.base), build, seed).state_dict()
    new = rebuild(origin, build)
    new.load_state_dict({name: _part(base[name], value.shape) for name, value in new.state_dict().items()})
    return new.train()


def _part(whole: Tensor, shape: torch.Size) -> Tensor:
    """The first places of ``whole``, of the variance that their number of inputs asks for."""
    part = whole[tuple(slice(side) for side in shape)]
    if part.ndim < 2 or not part.is_floating_point():
        return part
    return part * math.sqrt(whole[0].numel() / part[0].numel())
