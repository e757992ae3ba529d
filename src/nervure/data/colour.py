"""Brightness, contrast, saturation and hue of whole batches, as one linear map of the channels each."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["LUMA", "apply", "hue_matrix", "saturation_matrix"]

LUMA = (0.299, 0.587, 0.114)

# Chroma axes of the YIQ colour space, scaled as the NTSC standard gives them.
_YIQ = (LUMA, (0.59590059, -0.27455667, -0.32134392), (0.21153661, -0.52273617, 0.31119955))


def hue_matrix(turn: Tensor) -> Tensor:
    """(n, 3, 3) maps that turn the chroma of YIQ by ``turn`` (n,) full turns; greys and luma stay.

    >>> bool((hue_matrix(torch.zeros(1))[0] - torch.eye(3)).abs().max() < 1e-6)
    True
    """
    forward = torch.tensor(_YIQ, dtype=torch.float64)
    back = torch.linalg.inv(forward)
    first, second = forward[1:, None, :].unbind()
    cos, sin = (2 * math.pi * turn).cos(), (2 * math.pi * turn).sin()
    # Y is left alone; I and Q turn. Summed by its three parts, so that samples never meet in one product.
    fixed = back[:, :1] * forward[:1]
    even = back[:, 1:2] * first + back[:, 2:] * second
    odd = back[:, 2:] * first - back[:, 1:2] * second
    parts = (part.to(turn.device, turn.dtype) for part in (fixed, even, odd))
    still, along, aside = parts
    turned: Tensor = still + cos[:, None, None] * along + sin[:, None, None] * aside
    return turned


def saturation_matrix(factor: Tensor) -> Tensor:
    """(n, 3, 3) maps that blend a colour with its grey: 0 gives grey, 1 the colour itself, (n,) factors.

    >>> bool((saturation_matrix(torch.ones(1))[0] - torch.eye(3)).abs().max() < 1e-6)
    True
    """
    luma = factor.new_tensor(LUMA).expand(3, 3)
    f = factor[:, None, None]
    return f * torch.eye(3, device=factor.device, dtype=factor.dtype) + (1 - f) * luma


def apply(x: Tensor, matrix: Tensor | None, contrast: Tensor, brightness: Tensor, pivot: float) -> Tensor:
    """``brightness * (contrast * (matrix x - pivot) + pivot)`` for (n, c, h, w) images and (n,) factors.

    >>> x = torch.full((1, 1, 1, 1), 0.5)
    >>> float(apply(x, None, torch.tensor([2.0]), torch.tensor([1.0]), 0.25))
    0.75
    """
    if matrix is not None:
        m = matrix[..., None, None]
        channels = x.unbind(1)
        rows = [sum((m[:, i, j] * channels[j] for j in range(1, 3)), m[:, i, 0] * channels[0]) for i in range(3)]
        x = torch.stack(rows, dim=1)
    gain = (brightness * contrast)[:, None, None, None]
    shift = (brightness * (1 - contrast) * pivot)[:, None, None, None]
    return x * gain + shift
