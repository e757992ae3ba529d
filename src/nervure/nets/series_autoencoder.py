"""The 1-D convolutional auto-encoder of spec deepcluster, 2.3: axes share their filters, and meet late."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn

from nervure.errors import InputError
from nervure.nets.autoencoder import AutoEncoder, latent_layers, latent_size, output_of
from nervure.nets.parts import activation as activation_of
from nervure.nets.parts import affordable, choose, initialise, positive
from nervure.nets.parts import batch_norm as norm_of

__all__ = ["series_autoencoder"]


def series_autoencoder(
    in_shape: Sequence[int],
    classes: int,
    *,
    units: Sequence[int] = (32, 64, 128),
    kernel: int = 10,
    latent: int | None = None,
    encoder_fc: str = "flatten",
    activation: str = "relu",
    latent_activation: str = "linear",
    latent_norm: str = "none",
    output: str = "linear",
    batch_norm: bool = False,
) -> nn.Module:
    """Convolutions over time alone, one over all axes, a dense latent layer, and the mirror of these.

    Nothing is padded: ``time - len(units) * (kernel - 1)`` steps are left to be flattened, which must be 1 or
    more (28 steps for what is published).

    Parameters
    ----------
    in_shape : (axes, time)
        All series of one length.
    classes : int
        Latent size where ``latent`` leaves it open (10 without classes).
    units : sequence of int
        Units of the convolutions over time; the one over the axes has as many as the last.
    kernel : int
        Steps that each of them reads.
    encoder_fc : str
        ``"flatten"``, or ``"dense"`` for a further dense layer as wide as the flattened maps.
    latent_activation, latent_norm, output : str
        As in ``conv-autoencoder``.

    Weights start Xavier-uniform and biases at 0 (spec deepcluster, 3).

    Examples
    --------
    >>> net = series_autoencoder((3, 30), 5, encoder_fc="dense", output="sigmoid")
    >>> sum(parameter.numel() for parameter in net.parameters())
    620070
    """
    choose("encoder_fc", encoder_fc, ("flatten", "dense"))
    axes, steps = _check(in_shape, units, kernel)
    size, flat = latent_size(latent, classes), units[-1] * steps
    fc = flat if encoder_fc == "dense" else size
    affordable("series-autoencoder", flat, fc, "take encoder_fc='flatten', or conv-autoencoder")

    def follow(count: int) -> list[nn.Module]:
        return [norm_of(2, count, batch_norm), activation_of(activation)]

    forth: list[nn.Module] = [nn.Unflatten(1, (1, axes))]
    for before, count in itertools.pairwise((1, *units)):
        forth += [nn.Conv2d(before, count, (1, kernel)), *follow(count)]
    forth += [nn.Conv2d(units[-1], units[-1], (axes, 1)), *follow(units[-1]), nn.Flatten()]
    if encoder_fc == "dense":
        forth += [nn.Linear(flat, flat), activation_of(activation)]
    forth += latent_layers(flat, size, latent_activation, latent_norm)

    back = tuple(reversed(units))
    away: list[nn.Module] = [nn.Linear(size, flat), activation_of(activation), nn.Unflatten(1, (back[0], 1, steps))]
    away += [nn.ConvTranspose2d(back[0], back[0], (axes, 1)), *follow(back[0])]
    for before, count in itertools.pairwise((back[0], *back)):
        away += [nn.ConvTranspose2d(before, count, (1, kernel)), *follow(count)]
    away += [nn.Conv2d(back[-1], 1, 1), *output_of(output), nn.Flatten(1, 2)]
    return initialise(AutoEncoder(nn.Sequential(*forth), nn.Sequential(*away)), "none")


def _check(in_shape: Sequence[int], units: Sequence[int], kernel: int) -> tuple[int, int]:
    """Axes, and the steps that are left after the convolutions."""
    if len(in_shape) != 2:
        other = "conv-autoencoder" if len(in_shape) > 2 else "autoencoder"
        raise InputError(f"series-autoencoder reads series (axes, time), not {tuple(in_shape)}; take {other}")
    positive("units", units)
    positive("kernel", kernel)
    if not units:
        raise InputError("series-autoencoder: no units; give those of one convolution or more, such as (32, 64, 128)")
    axes, time = in_shape
    lost = len(units) * (kernel - 1)
    if time <= lost:
        room = (time - 1) // len(units) + 1
        raise InputError(
            f"series-autoencoder needs at least {lost + 1} steps with kernel {kernel}; these series have {time}: "
            f"give kernel={room} or less, or take conv-autoencoder or dilated-autoencoder"
        )
    return axes, time - lost
