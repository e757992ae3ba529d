"""Where pixels go: shift, turn, scale, crop and flip of whole batches of images, as one affine map each."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Border", "backward_map", "move", "turn"]

Border = Literal["zeros", "border", "reflection"]


def backward_map(angle: Tensor, factor: Tensor, flip: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """Where each output pixel is read from: ``q = matrix p + offset``, from the centre.

    Points are (across, down) in pixels.
    The picture is flipped (left and right, where ``flip`` is -1 and not 1), scaled by ``factor``, turned by
    ``angle`` (radians, from the axis across to the axis down), then shifted. All arguments are (n,); the
    result is (n, 2, 2) and (n, 2).

    >>> one, zero = torch.ones(1), torch.zeros(1)
    >>> matrix, offset = backward_map(zero, one, one, 2 * one, zero)
    >>> (offset + 0.0).tolist()
    [[0.0, -2.0]]
    """
    cos, sin = angle.cos() / factor, angle.sin() / factor
    matrix = torch.stack([flip * cos, flip * sin, -sin, cos], dim=1).view(-1, 2, 2)
    first = -(matrix[:, 0, 0] * across + matrix[:, 0, 1] * down)
    second = -(matrix[:, 1, 0] * across + matrix[:, 1, 1] * down)
    return matrix, torch.stack([first, second], dim=1)


def move(x: Tensor, matrix: Tensor, offset: Tensor, border: Border = "zeros") -> Tensor:
    """Read (n, c, h, w) images through maps (n, 2, 2), (n, 2), bilinearly, in one ``grid_sample``.

    >>> x = torch.arange(4.0).view(1, 1, 2, 2)
    >>> move(x, torch.eye(2)[None], torch.zeros(1, 2)).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    height, width = x.shape[-2:]
    down = torch.arange(height, device=x.device, dtype=x.dtype).sub_((height - 1) / 2)[:, None]
    across = torch.arange(width, device=x.device, dtype=x.dtype).sub_((width - 1) / 2)[None]
    # Written out, not as a matrix product, whose rounding depends on how many samples there are.
    m, o = matrix[..., None, None], offset[..., None, None]
    grid = torch.stack(
        [
            (m[:, 0, 0] * across + m[:, 0, 1] * down + o[:, 0]) * (2 / width),
            (m[:, 1, 0] * across + m[:, 1, 1] * down + o[:, 1]) * (2 / height),
        ],
        dim=-1,
    )
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode=border, align_corners=False)


def turn(x: Tensor, quarters: Tensor) -> Tensor:
    """(n, c, side, side) images, each turned by its number of right angles (n,), 0 to 3, against the clock.

    >>> turn(torch.arange(4.0).view(1, 1, 2, 2), torch.tensor([1])).flatten().tolist()
    [1.0, 3.0, 0.0, 2.0]
    """
    choice = quarters.view(-1, 1, 1, 1)
    turned = x
    for count in (1, 2, 3):
        turned = torch.where(choice == count, x.rot90(count, (2, 3)), turned)
    return turned
