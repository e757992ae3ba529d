"""Auto-encoders: the module that all of them share, and the dense one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from nervure.nets.parts import activation as activation_of
from nervure.nets.parts import batch_norm as norm_of
from nervure.nets.parts import choose, initialise, positive

__all__ = ["AutoEncoder", "autoencoder", "latent_size", "output_of"]


class AutoEncoder(nn.Module):
    """``decoder(encoder(x))``: (n, *in_shape) -> the same shape; ``encoder(x)`` is (n, latent).

    >>> import torch
    >>> net = AutoEncoder(nn.Linear(4, 2), nn.Linear(2, 4))
    >>> net.encoder(torch.zeros(3, 4)).shape, net(torch.zeros(3, 4)).shape
    (torch.Size([3, 2]), torch.Size([3, 4]))
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of ``x``."""
        out: Tensor = self.decoder(self.encoder(x))
        return out


def latent_size(latent: int | None, classes: int) -> int:
    """The latent size asked for; else one for each class; else 10.

    >>> latent_size(None, 4), latent_size(5, 4), latent_size(None, 0)
    (4, 5, 10)
    """
    size = latent if latent is not None else (classes or 10)
    positive("latent", size)
    return size


def output_of(name: str) -> list[nn.Module]:
    """What follows the reconstruction layer: nothing, or a sigmoid for data in [0, 1]."""
    choose("output", name, ("linear", "sigmoid"))
    return [nn.Sigmoid()] if name == "sigmoid" else []


def _dense(sizes: Sequence[int], activation: str, batch_norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), norm_of(0, after, batch_norm), activation_of(activation)]
    return layers


def autoencoder(
    in_shape: Sequence[int],
    classes: int,
    *,
    widths: Sequence[int] = (500, 500, 2000),
    latent: int | None = None,
    decoder_widths: Sequence[int] | None = None,
    activation: str = "relu",
    output: str = "linear",
    batch_norm: bool = False,
) -> nn.Module:
    """A dense auto-encoder for samples of any shape; the latent layer is linear.

    Parameters
    ----------
    in_shape : sequence of int
        Samples are flattened, and reconstructed in their shape.
    classes : int
        Latent size where ``latent`` leaves it open (10 without classes).
    widths : sequence of int
        Hidden layers of the encoder.
    latent : int, optional
        Units of the latent layer.
    decoder_widths : sequence of int, optional
        Hidden layers of the decoder; the encoder's in reverse by default.
    output : str
        ``"linear"``, which fits standardised data, or ``"sigmoid"`` for data in [0, 1].

    Weights start Xavier-uniform and biases at 0 (spec deepcluster, 3).

    Examples
    --------
    >>> net = autoencoder((30,), 0, widths=(30, 20, 10), latent=5, decoder_widths=(10, 20))
    >>> sum(parameter.numel() for parameter in net.parameters())
    2725
    """
    positive("widths", widths)
    back = tuple(reversed(widths)) if decoder_widths is None else tuple(decoder_widths)
    positive("decoder_widths", back)
    size, values = latent_size(latent, classes), 1
    for side in in_shape:
        values *= side
    forth = _dense((values, *widths), activation, batch_norm)
    encoder = nn.Sequential(nn.Flatten(), *forth, nn.Linear((values, *widths)[-1], size))
    last = nn.Linear((size, *back)[-1], values)
    decoder = nn.Sequential(
        *_dense((size, *back), activation, batch_norm),
        last,
        *output_of(output),
        nn.Unflatten(1, tuple(in_shape)),
    )
    return initialise(AutoEncoder(encoder, decoder), "none")
