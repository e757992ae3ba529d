"""Foreground or ground: binary segmentation of pictures without training (spec majority-voting-pruning, 7).

All functions take batches: (n, ...) grey values or (n, channels, ...) colours, of any number of axes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["above", "border", "distance_to_border", "facing_inwards", "gradient", "grey", "otsu"]

BINS = 256


def grey(pictures: Tensor) -> Tensor:
    """Mean over channels: (n, channels, ...) as (n, ...) float64; (n, features) tables as they are.

    >>> grey(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]]))
    tensor([[2., 4.]], dtype=torch.float64)
    """
    wide = pictures.detach().to(torch.float64)
    return wide.mean(1) if wide.ndim > 2 else wide


def otsu(values: Tensor) -> Tensor:
    """(n,) thresholds that split each picture of (n, ...) with the largest variance between its two parts.

    Split between 256 equal bins from a picture's smallest to its largest value; the threshold is the largest value
    of the lower part.

    >>> otsu(torch.tensor([[0.0, 0.1, 0.9, 1.0]]))
    tensor([0.1000], dtype=torch.float64)
    """
    rows = values.flatten(1).to(torch.float64)
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    width = (high - low) / BINS
    place = ((rows - low) / width.clamp(min=torch.finfo(torch.float64).tiny)).floor().clamp(0, BINS - 1)
    counts = torch.zeros(len(rows), BINS, dtype=torch.float64, device=rows.device)
    counts.scatter_add_(1, place.to(torch.int64), torch.ones_like(rows))
    centres = low + (torch.arange(BINS, dtype=torch.float64, device=rows.device) + 0.5) * width
    below, mass = counts.cumsum(1), (counts * centres).cumsum(1)
    over, rest = below[:, -1:] - below, mass[:, -1:] - mass
    apart = mass / below.clamp(min=1) - rest / over.clamp(min=1)
    between = (below * over * apart.square())[:, :-1]
    return torch.where(place <= between.argmax(1, keepdim=True), rows, low).amax(1)


def above(values: Tensor, thresholds: Tensor) -> Tensor:
    """Where ``values`` (n, ...) are strictly above the threshold (n,) of their picture.

    >>> above(torch.tensor([[0.0, 2.0]]), torch.tensor([1.0]))
    tensor([[False,  True]])
    """
    return values > thresholds.view(-1, *[1] * (values.ndim - 1))


def border(values: Tensor) -> Tensor:
    """(n, places) values on the rim of (n, height, width), or at both ends of (n, time).

    >>> border(torch.arange(9).view(1, 3, 3))
    tensor([[0, 1, 2, 3, 5, 6, 7, 8]])
    """
    rim = torch.zeros(values.shape[1:], dtype=torch.bool, device=values.device)
    for axis in range(rim.ndim):
        rim.select(axis, 0).fill_(True)
        rim.select(axis, -1).fill_(True)
    return values[:, rim]


def facing_inwards(mask: Tensor) -> Tensor:
    """``mask`` (n, ...) bool, turned over where it covers more than half of the border.

    >>> facing_inwards(torch.tensor([[True, False, True], [False, True, False]]))
    tensor([[False,  True, False],
            [False,  True, False]])
    """
    turned = border(mask).to(torch.float64).mean(1) > 0.5
    return mask ^ turned.view(-1, *[1] * (mask.ndim - 1))


def gradient(values: Tensor) -> Tensor:
    """Magnitude of the gradient of (n, ...) by central differences, one-sided at the border.

    >>> gradient(torch.tensor([[0.0, 0.0, 4.0, 4.0]]))
    tensor([[0., 2., 2., 0.]], dtype=torch.float64)
    """
    wide = values.to(torch.float64)
    axes = [axis for axis in range(1, wide.ndim) if wide.shape[axis] > 1]
    if not axes:
        return torch.zeros_like(wide)
    parts = torch.gradient(wide, dim=axes)
    return torch.stack([part.square() for part in parts]).sum(0).sqrt()


def distance_to_border(pictures: Tensor) -> Tensor:
    """Distance of each colour of (n, channels, ...) from the median colour of its picture's border: (n, ...).

    >>> distance_to_border(torch.tensor([[[1.0, 4.0, 1.0]]]))
    tensor([[0., 3., 0.]], dtype=torch.float64)
    """
    wide = pictures.detach().to(torch.float64)
    if wide.ndim < 3:
        wide = wide.unsqueeze(1)
    rims = torch.stack([border(channel) for channel in wide.unbind(1)], dim=1)
    ground = rims.median(2).values
    return (wide - ground.view(*ground.shape, *[1] * (wide.ndim - 2))).square().sum(1).sqrt()
