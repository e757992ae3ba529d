"""Auto-encoders: the module that all of them share, and the dense one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.parts import activation as activation_of
from nervure.nets.parts import batch_norm as norm_of
from nervure.nets.parts import choose, initialise, positive

__all__ = ["AutoEncoder", "autoencoder", "latent_layers", "latent_size", "output_of", "ts_autoencoder"]


class AutoEncoder(nn.Module):
    """``decoder(encoder(x))``: (n, *in_shape) -> the same shape; ``encoder(x)`` is (n, latent).

    >>> import torch
    >>> net = AutoEncoder(nn.Linear(4, 2), nn.Linear(2, 4))
    >>> net.encoder(torch.zeros(3, 4)).shape, net(torch.zeros(3, 4)).shape
    (torch.Size([3, 2]), torch.Size([3, 4]))
    >>> net.latent
    2
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def latent(self) -> int:
        """Units of the latent layer, the encoder's last dense one; read there, so it holds after a cut too."""
        dense = [module for module in self.encoder.modules() if isinstance(module, nn.Linear)]
        if not dense:
            raise InputError(f"{type(self.encoder).__name__} has no dense layer that could be the latent one")
        return dense[-1].out_features

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


def latent_layers(inputs: int, size: int, activation: str = "linear", norm: str = "none") -> list[nn.Module]:
    """The dense latent layer; then batch norm without scale and shift, and a rectifier, where they are wanted.

    >>> [type(layer).__name__ for layer in latent_layers(8, 2, norm="batchnorm")]
    ['Linear', 'BatchNorm1d']
    """
    choose("latent_activation", activation, ("linear", "relu"))
    choose("latent_norm", norm, ("none", "batchnorm"))
    layers: list[nn.Module] = [nn.Linear(inputs, size)]
    if norm == "batchnorm":
        layers.append(nn.BatchNorm1d(size, affine=False))
    if activation == "relu":
        layers.append(nn.ReLU())
    return layers


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
    latent_activation: str = "linear",
    latent_norm: str = "none",
    output: str = "linear",
    batch_norm: bool = False,
) -> nn.Module:
    """A dense auto-encoder for samples of any shape.

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
    latent_activation : str
        ``"linear"`` or ``"relu"``.
    latent_norm : str
        ``"none"``, or ``"batchnorm"``: the latents keep mean 0 and variance 1 (spec deepcluster, S4).
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
    latents = latent_layers((values, *widths)[-1], size, latent_activation, latent_norm)
    encoder = nn.Sequential(nn.Flatten(), *forth, *latents)
    last = nn.Linear((size, *back)[-1], values)
    decoder = nn.Sequential(
        *_dense((size, *back), activation, batch_norm),
        last,
        *output_of(output),
        nn.Unflatten(1, tuple(in_shape)),
    )
    return initialise(AutoEncoder(encoder, decoder), "none")


ts_autoencoder = functools.partial(autoencoder, widths=(30, 20, 10), decoder_widths=(10, 20))
