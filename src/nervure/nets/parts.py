"""Small pieces that several networks share: activations, normalisation, initial weights, checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from nervure.errors import InputError

__all__ = [
    "ACTIVATIONS",
    "CONV",
    "activation",
    "affordable",
    "batch_norm",
    "choose",
    "initialise",
    "positive",
    "require_images",
    "require_outputs",
    "scaled",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
_NORM: dict[int, type[nn.Module]] = {
    0: nn.BatchNorm1d,
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
_RECTIFIERS = ("relu", "leaky-relu", "elu", "gelu", "silu")


def activation(name: str) -> nn.Module:
    """A new activation module by name.

    >>> activation("tanh")
    Tanh()
    """
    choose("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()


def affordable(name: str, inputs: int, units: int, way_out: str) -> None:
    """Refuse a dense layer of more than 1e8 weights (400 MB, and thrice that while training with Adam).

    >>> affordable("conv-autoencoder", 93312, 93312, "take encoder_fc='flatten'")
    Traceback (most recent call last):
    nervure.errors.InputError: conv-autoencoder: a dense layer from 93312 to 93312 values ...; take encoder_fc='flatten'
    """
    if inputs * units > 10**8:
        raise InputError(
            f"{name}: a dense layer from {inputs} to {units} values would hold {inputs * units:,} weights; {way_out}"
        )


def batch_norm(dims: int, units: int, wanted: bool = True) -> nn.Module:
    """Batch normalisation for maps with ``dims`` dimensions, or the identity where it is not wanted.

    >>> batch_norm(2, 8, wanted=False)
    Identity()
    """
    return _NORM[dims](units) if wanted else nn.Identity()


def choose(setting: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a value that is not among those allowed.

    >>> choose("pooling", "sum", ("max", "average"))
    Traceback (most recent call last):
    nervure.errors.InputError: pooling='sum'; choose one of: 'max', 'average'
    """
    if value not in allowed:
        raise InputError(f"{setting}={value!r}; choose one of: {', '.join(map(repr, allowed))}")


def positive(setting: str, values: int | Sequence[int]) -> None:
    """Refuse anything but whole numbers of 1 or more.

    >>> positive("widths", (300, 0))
    Traceback (most recent call last):
    nervure.errors.InputError: widths=(300, 0); give whole numbers of 1 or more
    """
    for value in (values,) if isinstance(values, int) or not isinstance(values, Sequence) else values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{setting}={values!r}; give whole numbers of 1 or more")


def scaled(units: int, width: float) -> int:
    """``units`` times a width multiplier, rounded, at least 1.

    >>> scaled(64, 0.5), scaled(3, 0.1)
    (32, 1)
    """
    if not (isinstance(width, (int, float)) and math.isfinite(width) and width > 0):
        raise InputError(f"width={width!r}; give a positive multiplier, such as 0.5")
    return max(1, round(units * width))


def require_images(name: str, in_shape: Sequence[int], smallest: int = 1) -> tuple[int, int, int]:
    """The shape of one image, checked: three dimensions, each side at least ``smallest``.

    >>> require_images("vgg16", (4,))
    Traceback (most recent call last):
    nervure.errors.InputError: vgg16 reads images (channels, height, width), not (4,); take mlp
    """
    if len(in_shape) != 3:
        other = "series-cnn or mlp" if len(in_shape) == 2 else "mlp"
        raise InputError(f"{name} reads images (channels, height, width), not {tuple(in_shape)}; take {other}")
    channels, height, width = in_shape
    if min(height, width) < smallest:
        raise InputError(
            f"{name} needs images of at least {smallest}x{smallest}; these are {height}x{width}: "
            "take lenet5 or resnet20, or enlarge the images"
        )
    return channels, height, width


def require_outputs(name: str, classes: int) -> None:
    """Refuse to build a classifier without outputs."""
    if classes < 1:
        raise InputError(f"{name} needs to know its outputs: the data has no labels; give classes=")


def initialise(net: nn.Module, kind: str = "relu") -> nn.Module:
    """Set initial weights in place: He-uniform before rectifiers, Xavier-uniform elsewhere, biases 0.

    ``kind`` names the activation that follows; norms keep their ones and zeros.

    >>> initialise(nn.Linear(3, 2), "tanh").bias.tolist()
    [0.0, 0.0]
    """
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            if kind in _RECTIFIERS:
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
