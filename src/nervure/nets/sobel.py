"""Sobel: horizontal and vertical edges of an image, by a fixed convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Sobel"]

# What the eye makes of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


class Sobel(nn.Module):
    """Images (n, channels, height, width) -> two planes: edges across the width, and across the height.

    Three channels are red, green and blue and become grey first; any other number is averaged. The border is
    reflected (spec neural-mixture-clustering, 3). Nothing here is trained, and nothing is stored with the weights.

    >>> step = torch.zeros(1, 1, 4, 4)
    >>> step[:, :, :, 2:] = 1
    >>> Sobel(1)(step)[0, :, 1].tolist()
    [[0.0, 4.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """

    grey: Tensor
    edges: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        share = torch.tensor(_LUMA) if channels == 3 else torch.full((channels,), 1 / channels)
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        self.register_buffer("grey", share.view(1, channels, 1, 1), persistent=False)
        self.register_buffer("edges", torch.stack([across, across.T])[:, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) -> (n, 2, height, width)."""
        grey = (x * self.grey).sum(dim=1, keepdim=True)
        mode = "reflect" if min(x.shape[2:]) > 1 else "replicate"
        return functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode), self.edges)
