"""From a Blueprint to a module: one general rule for sequential networks on images, series and tables.

Convolutions, pools and the flattening are ``features``; dense layers are ``classifier``. A pool whose
window is larger than the map becomes the identity, so that one blueprint fits small samples too and
the names of the layers do not depend on the size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets import blueprint as bp
from nervure.nets.parts import CONV, activation, batch_norm, initialise, require_outputs

__all__ = ["Chain", "chain"]

_POOL: dict[str, tuple[type[nn.Module], ...]] = {
    "max": (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    "average": (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
}
_GLOBAL: dict[str, tuple[type[nn.Module], ...]] = {
    "max": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    "average": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
}


class Chain(nn.Module):
    """``classifier(features(x))``: (n, *in_shape) -> (n, classes).

    With ``pixels_last`` images pass through as :func:`pixels_last` orders them.

    >>> import torch
    >>> Chain(nn.Sequential(nn.Flatten()), nn.Sequential(nn.Linear(4, 2)))(torch.zeros(3, 1, 2, 2)).shape
    torch.Size([3, 2])
    """

    pixels_last = False

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Class scores before the softmax."""
        scores: Tensor = self.classifier(self.features(pixels_last(x) if self.pixels_last else x))
        return scores


def pixels_last(x: Tensor) -> Tensor:
    """The same images (n, channels, height, width) with the channels of a pixel side by side in memory, on a CPU.

    Layers keep this order, and in it alone PyTorch's pools are vectorised, which counts where convolutions are narrow;
    statistics of units read the usual one faster. What a tracer hands through is left as it is, so that exported graphs
    do not hold this step.

    >>> pixels_last(torch.zeros(2, 3, 4, 5)).stride()
    (60, 1, 15, 3)
    """
    images = type(x) is Tensor and x.dim() == 4 and x.device.type == "cpu"
    return x.to(memory_format=torch.channels_last) if images else x


def _each(value: int | tuple[int, ...], dims: int, where: str) -> tuple[int, ...]:
    sizes = (value,) * dims if isinstance(value, int) else value
    if len(sizes) != dims:
        raise InputError(f"{where}: {value} names {len(sizes)} sizes; these samples have {dims}")
    return sizes


class _Builder:
    """Keeps the shape of a sample while layers are added."""

    def __init__(self, in_shape: Sequence[int], classes: int) -> None:
        self.units, *sides = in_shape
        self.sides = tuple(sides)
        self.classes = classes
        self.features: list[nn.Module] = []
        self.classifier: list[nn.Module] = []

    def add(self, at: int, layer: bp.Layer) -> None:
        where = f"layer {at} ({layer.type})"
        if isinstance(layer, bp.Conv):
            self.conv(layer, where)
        elif isinstance(layer, bp.Pool):
            self.pool(layer, where)
        elif isinstance(layer, bp.GlobalPool):
            self.dims(where)
            self.features.append(_GLOBAL[layer.kind][len(self.sides) - 1](1))
            self.sides = (1,) * len(self.sides)
            self.flatten()
        elif isinstance(layer, bp.Flatten):
            self.flatten()
        elif isinstance(layer, bp.Dense):
            self.dense(layer)
        else:
            (self.classifier if self.flat else self.features).append(nn.Dropout(layer.rate))

    @property
    def flat(self) -> bool:
        return bool(self.features) and isinstance(self.features[-1], nn.Flatten)

    def dims(self, where: str) -> int:
        if not 1 <= len(self.sides) <= 3:
            raise InputError(f"{where} needs images or series; these samples have shape {(self.units, *self.sides)}")
        return len(self.sides)

    def conv(self, layer: bp.Conv, where: str) -> None:
        dims = self.dims(where)
        kernel = _each(layer.kernel, dims, where)
        stride = _each(layer.stride, dims, where)
        if layer.padding == "same":
            padding = tuple((side - 1) // 2 for side in kernel)
        else:
            padding = _each(0 if layer.padding == "valid" else layer.padding, dims, where)
        room = [side + 2 * pad - width for side, pad, width in zip(self.sides, padding, kernel, strict=True)]
        if min(room) < 0:
            raise InputError(f"{where}: its kernel {kernel} is larger than the map {self.sides} with its padding")
        if self.units % layer.groups or layer.units % layer.groups:
            raise InputError(
                f"{where}: {layer.groups} groups do not divide {self.units} inputs and {layer.units} units"
            )
        module = CONV[dims](
            self.units,
            layer.units,
            kernel,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            groups=layer.groups,
            bias=self.biased(layer),
        )
        self.features += [
            initialise(module, layer.activation or "none"),
            *self.follow(layer, dims, layer.units),
        ]
        self.units = layer.units
        self.sides = tuple(gap // step + 1 for gap, step in zip(room, stride, strict=True))

    def pool(self, layer: bp.Pool, where: str) -> None:
        dims = self.dims(where)
        kernel = _each(layer.kernel, dims, where)
        stride = kernel if layer.stride is None else _each(layer.stride, dims, where)
        room = [side - width for side, width in zip(self.sides, kernel, strict=True)]
        if min(room) < 0:
            self.features.append(nn.Identity())
            return
        self.features.append(_POOL[layer.kind][dims - 1](kernel, stride))
        self.sides = tuple(gap // step + 1 for gap, step in zip(room, stride, strict=True))

    def flatten(self) -> None:
        if not self.flat:
            self.features.append(nn.Flatten())
            for side in self.sides:
                self.units *= side
            self.sides = ()

    def dense(self, layer: bp.Dense) -> None:
        self.flatten()
        units = self.classes if layer.units is None else layer.units
        module = nn.Linear(self.units, units, bias=self.biased(layer))
        self.classifier += [initialise(module, layer.activation or "none"), *self.follow(layer, 0, units)]
        self.units = units

    @staticmethod
    def biased(layer: bp.Conv | bp.Dense) -> bool:
        if layer.bias is not None:
            return layer.bias
        return layer.norm is None or (layer.order == "conv-relu-bn" and layer.activation is not None)

    @staticmethod
    def follow(layer: bp.Conv | bp.Dense, dims: int, units: int) -> list[nn.Module]:
        norm = [batch_norm(dims, units)] if layer.norm else []
        act = [activation(layer.activation)] if layer.activation else []
        return norm + act if layer.order == "conv-bn-relu" else act + norm


def chain(blueprint: bp.Blueprint, in_shape: Sequence[int], classes: int) -> Chain:
    """Build the network that a blueprint describes, for samples of ``in_shape``.

    Parameters
    ----------
    blueprint : Blueprint
        Its layers.
    in_shape : sequence of int
        (channels, height, width) images, (channels, time) series, (features,) tables.
    classes : int
        Outputs of the last dense layer where it leaves them open.

    Examples
    --------
    >>> net = chain(bp.Blueprint(layers=(bp.Conv(units=8), bp.Pool(), bp.Dense())), (1, 8, 8), 10)
    >>> net.classifier[0]
    Linear(in_features=128, out_features=10, bias=True)
    """
    if blueprint.layers[-1].units is None:  # type: ignore[union-attr]
        require_outputs("a blueprint whose last layer leaves its units open", classes)
    builder = _Builder(in_shape, classes)
    for at, layer in enumerate(blueprint.layers):
        builder.add(at, layer)
    return Chain(nn.Sequential(*builder.features), nn.Sequential(*builder.classifier))
