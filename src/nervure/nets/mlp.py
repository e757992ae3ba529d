"""Dense networks: LeNet-300-100 and every other choice of widths."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import nn

from nervure.nets import blueprint as bp
from nervure.nets.chain import chain
from nervure.nets.parts import ACTIVATIONS, choose, positive, require_outputs

__all__ = ["lenet_300_100", "mlp"]


def mlp(
    in_shape: Sequence[int],
    classes: int,
    *,
    widths: Sequence[int] = (300, 100),
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Hidden dense layers of ``widths``, then the classes; samples of any shape are flattened.

    The networks of spec majority-voting-pruning, S3, are ``widths=(1000, 1000, 1000)`` on 1x28x28 and
    ``widths=(4000, 1000, 4000)`` on 3x32x32.

    >>> mlp((1, 28, 28), 10).classifier[0]
    Linear(in_features=784, out_features=300, bias=True)
    """
    positive("widths", widths)
    choose("activation", activation, tuple(ACTIVATIONS))
    require_outputs("mlp", classes)
    norm = "batch" if batch_norm else None
    layers: list[bp.Layer] = []
    for units in widths:
        layers.append(bp.Dense(units=units, norm=norm, activation=activation))
        if dropout:
            layers.append(bp.Dropout(rate=dropout))
    return chain(bp.Blueprint(layers=(*layers, bp.Dense())), in_shape, classes)


lenet_300_100 = functools.partial(mlp, widths=(300, 100))
