"""The convolutional auto-encoder of spec deepcluster, 2.1, for images and series of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from nervure.errors import InputError
from nervure.nets.autoencoder import AutoEncoder, latent_layers, latent_size, output_of
from nervure.nets.parts import CONV, affordable, choose, initialise, positive
from nervure.nets.parts import activation as activation_of
from nervure.nets.parts import batch_norm as norm_of
from nervure.nets.strides import Plan, Sides, down_plan, kernels_for, mirror, stages_for, units_for

__all__ = ["conv_autoencoder"]

_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
Follow = Callable[[int], list[nn.Module]]


def conv_autoencoder(
    in_shape: Sequence[int],
    classes: int,
    *,
    units: Sequence[int] | None = None,
    kernels: Sequence[int] | None = None,
    decoder_kernels: Sequence[int] | None = None,
    latent: int | None = None,
    encoder_fc: str = "flatten",
    decoder: str = "compact",
    activation: str = "relu",
    latent_activation: str = "linear",
    latent_norm: str = "none",
    output: str = "linear",
    batch_norm: bool = False,
) -> nn.Module:
    """Convolutions of stride 2, a dense latent layer, and the mirror of both.

    Parameters
    ----------
    in_shape : (channels, height, width) or (channels, time)
        Any size.
    classes : int
        Latent size where ``latent`` leaves it open (10 without classes).
    units, kernels : sequence of int, optional
        One for each convolution. By default 32, 64 and 128 units, and further layers of 128 until at most 16
        positions (4x4) are left; kernels as printed for the size: (4, 4, 2) up to 20 pixels, (5, 5, 3) above, 3
        in further layers, and the last one 2 on a map of even sides, 3 on an odd one.
        Padding is (kernel - 1) // 2, and none in the last layer where its map is at least as large as its kernel.
    decoder_kernels : sequence of int, optional
        In the decoder's order; the given kernels reversed, or 3 where those of the rule are 4.
    encoder_fc : str
        ``"flatten"``, or ``"dense"`` for a further dense layer as wide as the flattened maps.
    decoder : str
        ``"compact"``: the last transposed convolution reconstructs; ``"literal"``: it has ``units[0]`` units
        and a 1x1 convolution reconstructs.
    latent_activation, output : str
        ``"linear"`` or ``"relu"``; ``"linear"``, which fits standardised data, or ``"sigmoid"`` for data
        in [0, 1].
    latent_norm : str
        ``"none"``, or ``"batchnorm"``: the latents keep mean 0 and variance 1 (spec deepcluster, S4).

    Weights start Xavier-uniform and biases at 0 (spec deepcluster, 3).

    Examples
    --------
    >>> net = conv_autoencoder((1, 28, 28), 10, encoder_fc="dense", decoder="literal", output="sigmoid")
    >>> sum(parameter.numel() for parameter in net.parameters())
    1882123
    """
    choose("encoder_fc", encoder_fc, ("flatten", "dense"))
    choose("decoder", decoder, ("compact", "literal"))
    units, kernels, back = _layers(in_shape, units, kernels, decoder_kernels)
    size = latent_size(latent, classes)
    channels, sides = in_shape[0], tuple(in_shape[1:])
    plan = down_plan(sides, kernels)
    flat = units[-1] * math.prod(plan[-1][1])
    affordable(
        "conv-autoencoder",
        flat,
        flat if encoder_fc == "dense" else size,
        "leave units and kernels out, or give more of them, and encoder_fc='flatten'",
    )

    def follow(count: int) -> list[nn.Module]:
        return [norm_of(len(sides), count, batch_norm), activation_of(activation)]

    forth = [*_down(channels, units, kernels, plan, follow), nn.Flatten()]
    if encoder_fc == "dense":
        forth += [nn.Linear(flat, flat), activation_of(activation)]
    forth += latent_layers(flat, size, latent_activation, latent_norm)
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
        pads, extra = mirror(small, large, kernel, padding)
        if layers:
            layers += follow(before)
        layers.append(_TRANSPOSED[len(sides)](before, count, kernel, 2, pads, extra))  # type: ignore[arg-type]
        before = count
    return layers


def _layers(
    in_shape: Sequence[int], units: Sequence[int] | None, kernels: Sequence[int] | None, back: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Units, kernels and decoder kernels: those given, and the rule's for the rest."""
    if not 2 <= len(in_shape) <= 4:
        raise InputError(
            f"conv-autoencoder reads images or series; these samples are {tuple(in_shape)}: take autoencoder"
        )
    sides = tuple(in_shape[1:])
    for name, given in (("units", units), ("kernels", kernels), ("decoder_kernels", back)):
        positive(name, given if given is not None else ())
    stages = next((len(given) for given in (units, kernels, back) if given is not None), 0) or stages_for(sides)
    ruled = kernels_for(sides, stages)
    mirrored = ruled[1] if kernels is None else tuple(reversed(kernels))
    units = units_for(stages) if units is None else tuple(units)
    kernels = ruled[0] if kernels is None else tuple(kernels)
    back = mirrored if back is None else tuple(back)
    if not len(units) == len(kernels) == len(back) or not units:
        raise InputError(
            f"conv-autoencoder: {len(units)} units, {len(kernels)} kernels and {len(back)} decoder kernels; "
            "give as many of each"
        )
    return units, kernels, back
