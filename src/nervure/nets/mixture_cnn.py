"""The networks of spec neural-mixture-clustering, 4: convolutions that give one score for each cluster."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from torch import nn

from nervure.errors import InputError
from nervure.nets import blueprint as bp
from nervure.nets.chain import chain
from nervure.nets.parts import require_outputs, scaled
from nervure.nets.sobel import Sobel

__all__ = ["mixture_blueprint", "mixture_cnn", "mixture_layout"]

_TINY, _GREY, _MAP, _STEPS = 16, 32, 12, 64


def mixture_layout(in_shape: Sequence[int]) -> str:
    """The layers for a size of sample, as the spec writes them (spec neural-mixture-clustering, 4).

    Images of up to 16 pixels get the smallest, others of one channel up to 32 pixels that of MNIST, others
    that of CIFAR, with ``M C256 C256`` more until a side is at most 12 (STL at 96 pixels). Series get that of MNIST,
    with ``M C256`` more until at most 64 steps are left; tables two dense layers of 32.

    >>> mixture_layout((1, 28, 28)), mixture_layout((2,))
    ('C64 M C128 M C256 F32 F', 'F32 F32 F')
    >>> mixture_layout((2, 96, 96))
    'C64 C64 M C128 C128 M C256 C256 M C256 C256 F'
    """
    sides = in_shape[1:]
    if not sides:
        return "F32 F32 F"
    if len(sides) == 1:
        return "C64 M C128 M C256 " + "M C256 " * _halvings(sides[0] / 4, _STEPS) + "F32 F"
    if max(sides) <= _TINY:
        return "C32 M C64 F32 F"
    if in_shape[0] == 1 and max(sides) <= _GREY:
        return "C64 M C128 M C256 F32 F"
    return "C64 C64 M C128 C128 M C256 C256 " + "M C256 C256 " * _halvings(max(sides) / 4, _MAP) + "F"


def _halvings(side: float, limit: int) -> int:
    """How often a map is halved until its side is at most ``limit``."""
    return max(0, math.ceil(math.log2(side / limit)))


def mixture_blueprint(layout: str, width: float = 1.0, batch_norm: bool = True) -> bp.Blueprint:
    """A blueprint from the spec's notation.

    Parameters
    ----------
    layout : str
        ``C64``: 64 units of a convolution of 3, with norm and rectifier; ``M``: a pool of 2; ``F32``: 32 units of
        a dense layer, with a rectifier; ``F`` at the end: the outputs.
    width : float
        Scales the convolutions alone.

    Examples
    --------
    >>> [layer.type for layer in mixture_blueprint("C8 M F16 F").layers]
    ['conv', 'pool', 'dense', 'dense']
    """
    layers: list[bp.Layer] = []
    tokens = layout.split()
    for token in tokens:
        if not re.fullmatch(r"C[1-9]\d*|M|F|F[1-9]\d*", token):
            raise InputError(
                f"layout={layout!r}: {token!r} is no layer; write C64 (convolution), M (pool), F32 (dense), F (outputs)"
            )
        number = int(token[1:] or 0)
        if token == "M":
            layers.append(bp.Pool())
        elif token.startswith("C"):
            layers.append(bp.Conv(units=scaled(number, width), norm="batch" if batch_norm else None))
        else:
            layers.append(bp.Dense(units=number or None, activation="relu"))
    if layers and isinstance(layers[-1], bp.Dense):
        layers[-1] = bp.Dense(units=layers[-1].units)
    return bp.Blueprint(note=layout, layers=tuple(layers))


def mixture_cnn(
    in_shape: Sequence[int],
    classes: int,
    *,
    layout: str | None = None,
    width: float = 1.0,
    batch_norm: bool = True,
    sobel: bool = False,
) -> nn.Module:
    """Convolutions of 3, pools of 2 and dense layers, the last with one score for each of ``classes`` clusters.

    The embedding before the scores is ``net.classifier[:-1](net.features(x))``.

    Parameters
    ----------
    in_shape : (channels, height, width), (variates, time) or (features,)
        Any size.
    classes : int
        Clusters.
    layout : str, optional
        Such as ``"C64 M C128 M C256 F32 F"``; see :func:`mixture_blueprint`. By the size of the samples by default
        (:func:`mixture_layout`).
    width : float
        Scales the convolutions alone; 0.25 for what runs on a CPU.
    sobel : bool
        Images become two planes of edges first (:class:`~nervure.nets.sobel.Sobel`).

    Examples
    --------
    >>> net = mixture_cnn((3, 32, 32), 20, sobel=True)
    >>> sum(parameter.numel() for parameter in net.parameters())
    1473428
    """
    require_outputs("mixture-cnn", classes)
    if sobel and len(in_shape) != 3:
        raise InputError(f"mixture-cnn: sobel reads images, and these samples are {tuple(in_shape)}; leave it out")
    blueprint = mixture_blueprint(mixture_layout(in_shape) if layout is None else layout, width, batch_norm)
    net = chain(blueprint, (2, *in_shape[1:]) if sobel else in_shape, classes)
    net.pixels_last = True
    if sobel:
        net.features = nn.Sequential(Sobel(in_shape[0]), *net.features)
    return net
