"""VGG for small and large images, after Simonyan and Zisserman (2015).

The heads and block orders are those of spec majority-voting-pruning, S10; spec ssim-kmeans-pruning,
3.1; and spec isparse, 3.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import nn

from nervure.nets import blueprint as bp
from nervure.nets.chain import chain
from nervure.nets.parts import choose, positive, require_images, require_outputs, scaled

__all__ = ["vgg", "vgg13", "vgg16", "vgg19"]

_UNITS = (64, 128, 256, 512, 512)
_DEPTHS = {13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(
    in_shape: Sequence[int],
    classes: int,
    *,
    depth: int,
    batch_norm: bool = True,
    order: str = "conv-bn-relu",
    width: float = 1.0,
    conv_bias: bool = True,
    head: Sequence[int] = (512,),
    head_norm: bool = False,
    dropout: str = "none",
    last_pool: str = "max",
) -> nn.Module:
    """Five blocks of 3x3 convolutions, each ended by a 2x2 pool, then dense ``head`` and classes.

    Parameters
    ----------
    in_shape : (channels, height, width)
        Sides of 16 or more; under 32 the last pool is left out.
    classes : int
        Outputs.
    depth : int
        13, 16 or 19 weighted layers in the original; the head here is shorter.
    batch_norm, head_norm : bool
        Batch norm at the convolutions, at the hidden dense layers.
    order : str
        ``"conv-bn-relu"`` or ``"conv-relu-bn"``.
    width : float
        Multiplies every number of units, those of the head too.
    conv_bias : bool
        Convolutions have a bias, also beside a batch norm.
    head : sequence of int
        Hidden dense layers: ``(512,)``; ``(512, 512)`` in spec isparse; ``()`` for none.
    dropout : str
        ``"none"``; ``"head"``: 0.5 before each dense layer; ``"all"``: also after convolutions that no pool
        follows, 0.3 after the first and 0.4 after others.
    last_pool : str
        ``"max"`` or ``"average"``.

    Examples
    --------
    >>> net = vgg((3, 32, 32), 10, depth=16)
    >>> sum(layer.weight.numel() for layer in net.features if isinstance(layer, nn.Conv2d))
    14710464
    """
    choose("depth", depth, tuple(_DEPTHS))
    require_images(f"vgg{depth}", in_shape, smallest=16)
    require_outputs(f"vgg{depth}", classes)
    choose("order", order, ("conv-bn-relu", "conv-relu-bn"))
    choose("dropout", dropout, ("none", "head", "all"))
    choose("last_pool", last_pool, ("max", "average"))
    positive("head", head)
    layers: list[bp.Layer] = []
    norm = "batch" if batch_norm else None
    for block, (count, units) in enumerate(zip(_DEPTHS[depth], _UNITS, strict=True)):
        for at in range(count):
            layers.append(bp.Conv(units=scaled(units, width), norm=norm, order=order, bias=conv_bias))
            if dropout == "all" and at < count - 1:
                layers.append(bp.Dropout(rate=0.3 if block == at == 0 else 0.4))
        layers.append(bp.Pool(kind=last_pool if block == 4 else "max"))
    layers.append(bp.Flatten())
    before = [] if dropout == "none" else [bp.Dropout(rate=0.5)]
    norm = "batch" if head_norm else None
    for units in head:
        dense = bp.Dense(units=scaled(units, width), norm=norm, activation="relu", order=order, bias=True)
        layers += [*before, dense]
    return chain(bp.Blueprint(layers=(*layers, *before, bp.Dense())), in_shape, classes)


vgg13 = functools.partial(vgg, depth=13)
vgg16 = functools.partial(vgg, depth=16)
vgg19 = functools.partial(vgg, depth=19)
