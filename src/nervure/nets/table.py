"""The static table of networks: name -> a function ``(in_shape, classes, **settings) -> nn.Module``."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from nervure.registry import Table

__all__ = ["Network", "get", "names", "networks"]

Network = Callable[..., nn.Module]

networks: Table[Network] = Table(
    "network",
    {
        "mlp": ("nervure.nets.mlp:mlp", "dense layers of given widths, for any data", "own"),
        "lenet-300-100": ("nervure.nets.mlp:lenet_300_100", "dense 300-100, for any data", "LeCun 1998"),
        "lenet5": ("nervure.nets.lenet:lenet5", "two convolutions and three dense layers", "LeCun 1998"),
        "lenet-5": ("nervure.nets.lenet:lenet5", "the same as lenet5", "LeCun 1998"),
        "small-cnn": (
            "nervure.nets.small_cnn:small_cnn",
            "six 3x3 convolutions, dense 2000-2000",
            "Alqahtani, thesis, chapter 5",
        ),
        "vgg13": ("nervure.nets.vgg:vgg13", "ten 3x3 convolutions in five blocks", "Simonyan 2015"),
        "vgg16": ("nervure.nets.vgg:vgg16", "thirteen 3x3 convolutions in five blocks", "Simonyan 2015"),
        "vgg19": ("nervure.nets.vgg:vgg19", "sixteen 3x3 convolutions in five blocks", "Simonyan 2015"),
        "resnet20": ("nervure.nets.resnet:resnet20", "three stages of 3 basic blocks, 16-32-64", "He 2016"),
        "resnet32": ("nervure.nets.resnet:resnet32", "three stages of 5 basic blocks, 16-32-64", "He 2016"),
        "resnet56": ("nervure.nets.resnet:resnet56", "three stages of 9 basic blocks, 16-32-64", "He 2016"),
        "resnet18": ("nervure.nets.resnet:resnet18", "four stages of basic blocks, 64 to 512", "He 2016"),
        "resnet50": ("nervure.nets.resnet:resnet50", "four stages of bottlenecks, 256 to 2048", "He 2016"),
        "autoencoder": (
            "nervure.nets.autoencoder:autoencoder",
            "dense encoder and decoder, for any data",
            "own",
        ),
        "conv-autoencoder": (
            "nervure.nets.conv_autoencoder:conv_autoencoder",
            "strided convolutions and their mirror, for images and series",
            "Alqahtani, thesis, chapter 3",
        ),
        "ts-autoencoder": (
            "nervure.nets.autoencoder:ts_autoencoder",
            "dense 30-20-10, decoder 10-20: TS-DAE for short windows",
            "Alqahtani, thesis, chapter 7",
        ),
        "series-autoencoder": (
            "nervure.nets.series_autoencoder:series_autoencoder",
            "1D-DCAE: filters over time shared by all axes, which are fused late",
            "Alqahtani, thesis, chapter 7",
        ),
        "dilated-autoencoder": (
            "nervure.nets.dilated_autoencoder:dilated_autoencoder",
            "dilated 1-D convolutions, for series of any length, whole or padded",
            "own",
        ),
        "mixture-cnn": (
            "nervure.nets.mixture_cnn:mixture_cnn",
            "3x3 convolutions for cluster scores, as many as the data's size asks for",
            "Tissera, thesis, chapter 4",
        ),
        "series-cnn": ("nervure.nets.series_cnn:series_cnn", "1-D convolutions and a masked mean", "own"),
    },
    group="nervure.networks",
)
names = networks.names
get = networks.get
