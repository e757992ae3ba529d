"""An auto-encoder of dilated 1-D convolutions, for series of any length, whole or padded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.autoencoder import AutoEncoder, latent_layers, latent_size, output_of
from nervure.nets.parts import batch_norm as norm_of
from nervure.nets.parts import choose, initialise, positive
from nervure.nets.series_cnn import SeriesBlock
from nervure.nets.time_pooling import AttentionPool, MeanPool

__all__ = ["DilatedAutoEncoder", "DilatedBlock", "DilatedEncoder", "SeriesDecoder", "depth_for", "dilated_autoencoder"]

COARSE = 16


def depth_for(time: int, kernel: int = 3) -> int:
    """Blocks of dilation 1, 2, 4, ... until the last steps see the whole series; at least 2, at most 8.

    >>> [depth_for(time) for time in (1, 30, 100, 720)]
    [2, 4, 6, 8]
    """
    depth = 2
    while depth < 8 and 1 + (kernel - 1) * 2**depth < time:
        depth += 1
    return depth


class DilatedBlock(SeriesBlock):
    """A dilated convolution, norm and rectifier, added to what they read; padded steps stay 0.

    >>> import torch
    >>> DilatedBlock(4, 3, dilation=2)(torch.zeros(1, 4, 7)).shape
    torch.Size([1, 4, 7])
    """

    def __init__(self, units: int, kernel: int, dilation: int, batch_norm: bool = False) -> None:
        super().__init__(units, units, kernel, batch_norm)
        room = dilation * (kernel // 2)
        self.conv = nn.Conv1d(units, units, kernel, padding=room, dilation=dilation, bias=not batch_norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, units, time), mask (n, time) bool -> (n, units, time)."""
        # Both parts have about the same variance, so the sum keeps it over any number of blocks.
        return (x + super().forward(x, mask)) * math.sqrt(0.5)


class DilatedEncoder(nn.Module):
    """Blocks of doubling dilation that keep the length, pooling over time, a dense latent layer.

    >>> import torch
    >>> encoder = DilatedEncoder(2, 4, 3, depth=2, pool=MeanPool(length=9), head=nn.Sequential(nn.Linear(4, 3)))
    >>> encoder(torch.zeros(5, 2, 9)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        channels: int,
        units: int,
        kernel: int,
        depth: int,
        pool: nn.Module,
        head: nn.Module,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.stem = SeriesBlock(channels, units, kernel, batch_norm)
        self.blocks = nn.ModuleList(DilatedBlock(units, kernel, 2**at, batch_norm) for at in range(depth))
        self.pool = pool
        self.head = head

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, channels, time), mask (n, time) bool -> latents (n, latent)."""
        if mask is not None:
            x = x * mask[:, None]
        x = self.stem(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        latents: Tensor = self.head(self.pool(x, mask))
        return latents


class SeriesDecoder(nn.Module):
    """A dense layer gives a coarse series of at most 16 steps, transposed convolutions double it again and again.

    The coarse series has four times the ``units``, its double twice as many. The result is cut to the length
    that is asked for, so a shorter series gets the first steps of what a longer one gets.

    >>> import torch
    >>> decoder = SeriesDecoder(3, (2, 50), units=4, kernel=3)
    >>> decoder(torch.zeros(1, 3)).shape, decoder(torch.zeros(1, 3), 20).shape
    (torch.Size([1, 2, 50]), torch.Size([1, 2, 20]))
    """

    def __init__(
        self,
        latent: int,
        in_shape: Sequence[int],
        units: int,
        kernel: int,
        output: str = "linear",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        channels, self.length = in_shape
        doublings = max(0, math.ceil(math.log2(self.length / COARSE)))
        coarse = math.ceil(self.length / 2**doublings)
        wide = [units * max(1, 4 // 2**at) for at in range(doublings + 1)]
        layers: list[nn.Module] = [nn.Linear(latent, wide[0] * coarse), nn.ReLU(), nn.Unflatten(1, (wide[0], coarse))]
        for before, count in itertools.pairwise(wide):
            layers += [nn.ConvTranspose1d(before, count, 4, 2, 1), norm_of(1, count, batch_norm), nn.ReLU()]
        layers += [nn.Conv1d(wide[-1], channels, kernel, padding=kernel // 2), *output_of(output)]
        self.layers = nn.Sequential(*layers)

    def forward(self, h: Tensor, length: int | None = None) -> Tensor:
        """Latents (n, latent) -> (n, channels, length); as long as what the network was built for by default."""
        steps = self.length if length is None else length
        if steps > self.length:
            raise InputError(
                f"series of {steps} steps, and this decoder gives back {self.length}: build the network for the "
                "longest series, or cut them; the encoder alone reads any length"
            )
        out: Tensor = self.layers(h)
        return out[:, :, :steps]


class DilatedAutoEncoder(AutoEncoder):
    """``decoder(encoder(x, mask))``, as long as ``x``.

    In evaluation a padded series gives, with its mask, the latents and the first steps that the series
    without its padding gives.

    >>> import torch
    >>> net = dilated_autoencoder((2, 9), 3, units=4).eval()
    >>> x = torch.ones(1, 2, 5)
    >>> padded, mask = torch.cat([x, torch.zeros(1, 2, 4)], dim=2), torch.arange(9)[None] < 5
    >>> torch.allclose(net(x), net(padded, mask)[:, :, :5], atol=1e-6)
    True
    """

    encoder: DilatedEncoder
    decoder: SeriesDecoder

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, channels, time), mask (n, time) bool -> the reconstruction, (n, channels, time)."""
        out: Tensor = self.decoder(self.encoder(x, mask), x.shape[2])
        return out


def dilated_autoencoder(
    in_shape: Sequence[int],
    classes: int,
    *,
    units: int = 32,
    kernel: int = 3,
    depth: int | None = None,
    pooling: str = "mean",
    heads: int = 8,
    positions: int = 8,
    latent: int | None = None,
    latent_activation: str = "linear",
    latent_norm: str = "none",
    output: str = "linear",
    batch_norm: bool = False,
) -> nn.Module:
    """Residual blocks of doubling dilation, pooling over time, and a decoder of transposed convolutions.

    Parameters
    ----------
    in_shape : (variates, time)
        Of the longest series; shorter batches are read, and given back as long as they are.
    classes : int
        Latent size where ``latent`` leaves it open (10 without classes).
    units, kernel : int
        Of every convolution; the kernel is odd.
    depth : int, optional
        Blocks, of dilation 1, 2, 4, ...; by default as many as see the whole series, at most 8.
    pooling : str
        ``"mean"`` over time, or ``"attention"`` with ``heads`` learned weightings of the steps, which keep the
        encoder's units whole when the network is pruned.
    positions : int
        Cosines of time that pooling weighs by or reads, so that the latents tell early from late; 0 for none.
    latent_activation, latent_norm, output : str
        As in ``conv-autoencoder``.

    Weights start Xavier-uniform and biases at 0.

    Examples
    --------
    >>> import torch
    >>> net = dilated_autoencoder((3, 50), 4, pooling="attention")
    >>> net.encoder(torch.zeros(2, 3, 50)).shape, net.decoder(torch.zeros(2, 4)).shape
    (torch.Size([2, 4]), torch.Size([2, 3, 50]))
    """
    if len(in_shape) != 2:
        other = "conv-autoencoder" if len(in_shape) > 2 else "autoencoder"
        raise InputError(f"dilated-autoencoder reads series (variates, time), not {tuple(in_shape)}; take {other}")
    choose("pooling", pooling, ("mean", "attention"))
    for name, value in (("units", units), ("kernel", kernel), ("heads", heads)):
        positive(name, value)
    if kernel % 2 == 0:
        raise InputError(f"dilated-autoencoder: kernel={kernel}; give an odd one, which keeps the length")
    if isinstance(positions, bool) or not isinstance(positions, int) or positions < 0:
        raise InputError(f"positions={positions!r}; give a whole number, 0 for none")
    depth = depth_for(in_shape[1], kernel) if depth is None else depth
    positive("depth", depth)
    size = latent_size(latent, classes)
    time = in_shape[1]
    pool: nn.Module = MeanPool(time, positions)
    wide = units * (1 + positions)
    if pooling == "attention":
        pool, wide = AttentionPool(units, heads, time, positions), units * heads
    head = nn.Sequential(*latent_layers(wide, size, latent_activation, latent_norm))
    encoder = DilatedEncoder(in_shape[0], units, kernel, depth, pool, head, batch_norm)
    decoder = SeriesDecoder(size, in_shape, units, kernel, output, batch_norm)
    return initialise(DilatedAutoEncoder(encoder, decoder), "none")
