"""A small 1-D convolutional network for series of any length, whole or padded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.nets.parts import batch_norm as norm_of
from nervure.nets.parts import initialise, positive, require_outputs, scaled

__all__ = ["SeriesBlock", "SeriesCNN", "series_cnn"]


class SeriesBlock(nn.Module):
    """Convolution, norm and rectifier; padded steps are left out of the statistics and stay 0.

    >>> SeriesBlock(2, 4, 3)(torch.zeros(1, 2, 7)).shape
    torch.Size([1, 4, 7])
    """

    def __init__(self, inputs: int, units: int, kernel: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, units, kernel, padding=kernel // 2, bias=not batch_norm)
        self.norm = norm_of(1, units, batch_norm)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, inputs, time), mask (n, time) bool -> (n, units, time)."""
        out = self.conv(x)
        if mask is None:
            whole: Tensor = self.relu(self.norm(out))
            return whole
        if self.training and not isinstance(self.norm, nn.Identity):
            valid = self.norm(out.transpose(1, 2)[mask])
            steps = torch.zeros_like(out.transpose(1, 2), dtype=valid.dtype)
            steps[mask] = valid
            out = steps.transpose(1, 2)
        else:
            out = self.norm(out)
        masked: Tensor = self.relu(out) * mask[:, None]
        return masked


class SeriesCNN(nn.Module):
    """Blocks of convolutions that keep the length, the mean over the steps that have values, a dense layer.

    With a mask, a padded series gives in evaluation what the series without its padding gives.

    >>> net = SeriesCNN(2, 3, (4,), (3,)).eval()
    >>> x = torch.ones(1, 2, 5)
    >>> padded = torch.cat([x, torch.zeros(1, 2, 4)], dim=2)
    >>> mask = torch.arange(9)[None] < 5
    >>> torch.allclose(net(x), net(padded, mask))
    True
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        units: Sequence[int],
        kernels: Sequence[int],
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        pairs = zip((channels, *units), units, kernels, strict=False)
        self.features = nn.ModuleList(SeriesBlock(*sizes, batch_norm=batch_norm) for sizes in pairs)
        self.classifier = nn.Linear(units[-1], classes)
        initialise(self)
        initialise(self.classifier, "none")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, channels, time), mask (n, time) bool -> class scores (n, classes)."""
        if mask is not None:
            x = x * mask[:, None]
        for block in self.features:
            x = block(x, mask)
        if mask is None:
            mean = x.mean(dim=2)
        else:
            mean = x.sum(dim=2) / mask.sum(dim=1, keepdim=True).clamp(min=1).to(x.dtype)
        scores: Tensor = self.classifier(mean)
        return scores


def series_cnn(
    in_shape: Sequence[int],
    classes: int,
    *,
    units: Sequence[int] = (32, 64, 64),
    kernels: Sequence[int] = (7, 5, 3),
    width: float = 1.0,
    batch_norm: bool = True,
) -> nn.Module:
    """1-D convolutions of odd kernels for (channels, time) of any length, and a masked global mean.

    >>> sum(parameter.numel() for parameter in series_cnn((3, 50), 4).parameters())
    23780
    """
    if len(in_shape) != 2:
        hint = "take lenet5 or resnet20" if len(in_shape) == 3 else "take mlp"
        raise InputError(f"series-cnn reads series (channels, time), not {tuple(in_shape)}; {hint}")
    require_outputs("series-cnn", classes)
    positive("units", units)
    positive("kernels", kernels)
    if len(units) != len(kernels) or not units:
        raise InputError(f"series-cnn: {len(units)} units and {len(kernels)} kernels; give as many of each")
    if not all(kernel % 2 for kernel in kernels):
        raise InputError(f"series-cnn: kernels {tuple(kernels)}; give odd ones, which keep the length")
    return SeriesCNN(in_shape[0], classes, [scaled(one, width) for one in units], kernels, batch_norm)
