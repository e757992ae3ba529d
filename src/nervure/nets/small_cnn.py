"""The small convolutional network of spec majority-voting-pruning, S5, most of it dense."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nervure.nets import blueprint as bp
from nervure.nets.chain import chain
from nervure.nets.parts import positive, require_images, require_outputs, scaled

__all__ = ["small_cnn"]


def small_cnn(
    in_shape: Sequence[int],
    classes: int,
    *,
    width: float = 1.0,
    head: Sequence[int] = (2000, 2000),
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Three blocks of two 3x3 convolutions (32, 64, 128 units) and a 2x2 pool, then dense ``head``.

    ``width`` scales the convolutions alone. A pool is left out where the map is smaller than its window.

    >>> net = small_cnn((3, 32, 32), 10)
    >>> sum(parameter.numel() for parameter in net.parameters())
    8407018
    """
    require_images("small-cnn", in_shape)
    require_outputs("small-cnn", classes)
    positive("head", head)
    norm = "batch" if batch_norm else None
    layers: list[bp.Layer] = []
    for units in (32, 64, 128):
        conv = bp.Conv(units=scaled(units, width), norm=norm)
        layers += [conv, conv, bp.Pool()]
    for units in head:
        layers.append(bp.Dense(units=units, norm=norm, activation="relu"))
        if dropout:
            layers.append(bp.Dropout(rate=dropout))
    return chain(bp.Blueprint(layers=(*layers, bp.Dense())), in_shape, classes)
