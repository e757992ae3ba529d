"""The convolutional auto-encoder of spec deepcluster, 2.1, for images and series of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from nervure.errors import InputError
from nervure.nets.autoencoder import AutoEncoder, latent_size, output_of
from nervure.nets.parts import CONV, choose, initialise, positive
from nervure.nets.parts import activation as activation_of
from nervure.nets.parts import batch_norm as norm_of

__all__ = ["conv_autoencoder"]

_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
Sides = tuple[int, ...]
Plan = list[tuple[Sides, Sides]]
Follow = Callable[[int], list[nn.Module]]


def _padding(side: int, kernel: int, last: bool) -> int:
    """Same padding, but none in the last layer where the map has room for its kernel (2.1)."""
    return 0 if last and side >= kernel else (kernel - 1) // 2


def _plan(sides: Sides, kernels: Sequence[int]) -> Plan:
    """For each layer of stride 2: its padding and the sides of its output."""
    layers = []
    for at, kernel in enumerate(kernels):
        padding = tuple(_padding(side, kernel, at == len(kernels) - 1) for side in sides)
        sides = tuple((side + 2 * pad - kernel) // 2 + 1 for side, pad in zip(sides, padding, strict=True))
        if min(sides) < 1:
            raise InputError(
                f"conv-autoencoder: kernel {kernel} of layer {at} is larger than its map; take a smaller one"
            )
        layers.append((padding, sides))
    return layers


def _mirror(small: Sides, large: Sides, kernel: int, padding: Sides) -> tuple[Sides, Sides]:
    """Padding and output padding with which a transposed convolution leads from ``small`` to ``large``."""
    pads, extra = [], []
    for low, high, pad in zip(small, large, padding, strict=True):
        grown = (low - 1) * 2 + kernel
        # A larger decoder kernel may need more padding than the encoder had; output padding is 0 or 1.
        pad = pad if 0 <= high - grown + 2 * pad <= 1 else max(0, math.ceil((grown - high) / 2))
        if not 0 <= high - grown + 2 * pad <= 1:
            raise InputError(f"conv-autoencoder: a decoder kernel of {kernel} cannot lead from {low} to {high} pixels")
        pads.append(pad)
        extra.append(high - grown + 2 * pad)
    return tuple(pads), tuple(extra)


def conv_autoencoder(
    in_shape: Sequence[int],
    classes: int,
    *,
    units: Sequence[int] = (32, 64, 128),
    kernels: Sequence[int] = (5, 5, 3),
    decoder_kernels: Sequence[int] | None = None,
    latent: int | None = None,
    encoder_fc: str = "flatten",
    decoder: str = "compact",
    activation: str = "relu",
    latent_activation: str = "linear",
    output: str = "linear",
    batch_norm: bool = False,
) -> nn.Module:
    """Convolutions of stride 2, a dense latent layer, and the mirror of both.

    Parameters
    ----------
    in_shape : (channels, height, width) or (channels, time)
        Any size whose maps do not vanish.
    classes : int
        Latent size where ``latent`` leaves it open (10 without classes).
    units, kernels : sequence of int
        One for each convolution. Padding is (kernel - 1) // 2, and none in the last layer where its
        map is at least as large as its kernel.
    decoder_kernels : sequence of int, optional
        In the decoder's order; the encoder's reversed by default.
    encoder_fc : str
        ``"flatten"``, or ``"dense"`` for a further dense layer as wide as the flattened maps.
    decoder : str
        ``"compact"``: the last transposed convolution reconstructs; ``"literal"``: it has ``units[0]`` units
        and a 1x1 convolution reconstructs.
    latent_activation, output : str
        ``"linear"`` or ``"relu"``; ``"linear"``, which fits standardised data, or ``"sigmoid"`` for data
        in [0, 1].

    Weights start Xavier-uniform and biases at 0 (spec deepcluster, 3).

    Examples
    --------
    >>> net = conv_autoencoder((1, 28, 28), 10, encoder_fc="dense", decoder="literal", output="sigmoid")
    >>> sum(parameter.numel() for parameter in net.parameters())
    1882123
    """
    back = tuple(reversed(kernels)) if decoder_kernels is None else tuple(decoder_kernels)
    _check(in_shape, units, kernels, back)
    choose("encoder_fc", encoder_fc, ("flatten", "dense"))
    choose("decoder", decoder, ("compact", "literal"))
    choose("latent_activation", latent_activation, ("linear", "relu"))
    size = latent_size(latent, classes)
    channels, sides = in_shape[0], tuple(in_shape[1:])
    plan = _plan(sides, kernels)
    flat = units[-1] * math.prod(plan[-1][1])

    def follow(count: int) -> list[nn.Module]:
        return [norm_of(len(sides), count, batch_norm), activation_of(activation)]

    forth = [*_down(channels, units, kernels, plan, follow), nn.Flatten()]
    if encoder_fc == "dense":
        forth += [nn.Linear(flat, flat), activation_of(activation)]
    forth.append(nn.Linear(flat, size))
    if latent_activation == "relu":
        forth.append(nn.ReLU())
    away = [nn.Linear(size, flat), activation_of(activation), nn.Unflatten(1, (units[-1], *plan[-1][1]))]
    outputs = (*reversed(units[:-1]), channels) if decoder == "compact" else tuple(reversed(units))
    away += _up(sides, units[-1], outputs, back, plan, follow)
    if decoder == "literal":
        away += [*follow(units[0]), CONV[len(sides)](units[0], channels, 1)]
    away += output_of(output)
    return initialise(AutoEncoder(nn.Sequential(*forth), nn.Sequential(*away)), "none")


def _down(channels: int, units: Sequence[int], kernels: Sequence[int], plan: Plan, follow: Follow) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, count, kernel, (padding, _) in zip((channels, *units), units, kernels, plan, strict=False):
        conv = CONV[len(padding)]
        layers += [conv(before, count, kernel, 2, padding), *follow(count)]  # type: ignore[arg-type]
    return layers


def _up(
    sides: Sides, before: int, outputs: Sequence[int], kernels: Sequence[int], plan: Plan, follow: Follow
) -> list[nn.Module]:
    """Transposed convolutions back to ``sides``; norm and activation between them, none after the last."""
    layers: list[nn.Module] = []
    larger = [*(after for _, after in reversed(plan[:-1])), sides]
    for (padding, small), large, count, kernel in zip(reversed(plan), larger, outputs, kernels, strict=True):
        pads, extra = _mirror(small, large, kernel, padding)
        if layers:
            layers += follow(before)
        layers.append(_TRANSPOSED[len(sides)](before, count, kernel, 2, pads, extra))  # type: ignore[arg-type]
        before = count
    return layers


def _check(in_shape: Sequence[int], units: Sequence[int], kernels: Sequence[int], back: Sequence[int]) -> None:
    if not 2 <= len(in_shape) <= 4:
        raise InputError(
            f"conv-autoencoder reads images or series; these samples are {tuple(in_shape)}: take autoencoder"
        )
    positive("units", units)
    positive("kernels", kernels)
    positive("decoder_kernels", back)
    if not len(units) == len(kernels) == len(back) or not units:
        raise InputError(
            f"conv-autoencoder: {len(units)} units, {len(kernels)} kernels and {len(back)} decoder kernels; "
            "give as many of each"
        )
