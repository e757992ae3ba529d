"""Networks of the tables of sparsifying that no other table has (spec isparse, 3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import nn

from nervure.errors import InputError
from nervure.nets.lenet import lenet5
from nervure.nets.vgg import vgg16

__all__ = ["lenet5_32", "vgg16_tanh"]

SIDE = 32


def lenet5_32(in_shape: Sequence[int], classes: int, **settings: Any) -> nn.Module:
    """LeNet-5 on images that are brought to 32 x 32 first, by means over equal blocks: for COIL and NORB.

    >>> net = lenet5_32((1, 128, 128), 20)
    >>> net[0].kernel_size, net[1].classifier[-1].out_features
    (4, 20)
    """
    channels, height, width = in_shape
    if height != width or height % SIDE:
        raise InputError(f"images of {height} x {width} do not come in {SIDE} x {SIDE} equal blocks")
    inner = lenet5((channels, SIDE, SIDE), classes, **settings)
    return nn.Sequential(OrderedDict(resized=nn.AvgPool2d(height // SIDE), net=inner))


def vgg16_tanh(in_shape: Sequence[int], classes: int, **settings: Any) -> nn.Module:
    """VGG-16 with the settings of :func:`nervure.nets.vgg.vgg`, and tanh in the place of every ReLU.

    >>> net = vgg16_tanh((3, 32, 32), 10, width=0.125)
    >>> sum(isinstance(one, nn.Tanh) for one in net.modules()), any(isinstance(one, nn.ReLU) for one in net.modules())
    (14, False)
    """
    net = vgg16(in_shape, classes, **settings)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.Tanh())
    return net
