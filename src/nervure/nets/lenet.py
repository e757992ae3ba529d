"""LeNet-5, after LeCun, Bottou, Bengio and Haffner (1998), as spec isparse, 3, gives it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nervure.nets import blueprint as bp
from nervure.nets.chain import chain
from nervure.nets.parts import ACTIVATIONS, choose, require_images, require_outputs

__all__ = ["lenet5"]


def lenet5(
    in_shape: Sequence[int],
    classes: int,
    *,
    activation: str = "relu",
    pooling: str = "max",
    batch_norm: bool = False,
) -> nn.Module:
    """Two 5x5 convolutions (6, 16), each with a 2x2 pool, then dense 120, 84 and the classes.

    The first convolution is padded by 2, the second not, unless the pooled map is smaller than its
    kernel (images under 10 pixels): then it is padded by 2 as well. A pool is left out where the map is
    smaller than its window. The original has ``activation="tanh", pooling="average"``.

    >>> net = lenet5((1, 28, 28), 10)
    >>> sum(parameter.numel() for parameter in net.parameters())
    61706
    """
    _, height, width = require_images("lenet5", in_shape)
    require_outputs("lenet5", classes)
    choose("activation", activation, tuple(ACTIVATIONS))
    choose("pooling", pooling, ("max", "average"))
    norm = "batch" if batch_norm else None
    second = "valid" if min(height, width) // 2 >= 5 else "same"
    layers = (
        bp.Conv(units=6, kernel=5, norm=norm, activation=activation),
        bp.Pool(kind=pooling),
        bp.Conv(units=16, kernel=5, padding=second, norm=norm, activation=activation),
        bp.Pool(kind=pooling),
        bp.Dense(units=120, norm=norm, activation=activation),
        bp.Dense(units=84, norm=norm, activation=activation),
        bp.Dense(),
    )
    return chain(bp.Blueprint(layers=layers), in_shape, classes)
