"""Lens: phases see the latents of a wide layer through a narrow linear map, so that they can be held and decomposed.

The layer before the scores of a picture of 32 x 32 has 16,384 values. What a phase asks of them, scores and principal
directions, it finds in a random projection to 1,024 values, beside which it has the scores themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["WIDE", "lens", "narrowed"]

WIDE = 1024
"""Latents of up to so many values are seen as they are, wider ones by so many."""


def lens(latent: int, weight: Tensor | None = None) -> Tensor | None:
    """What latents (n, latent) are seen through: (latent, w); None where they are narrow.

    The first ``WIDE`` columns are orthonormal and drawn at random, always the same; a dense layer's ``weight``
    (k, latent) adds its rows, so that its outputs are seen exactly.

    >>> lens(1024) is None, lens(2000, torch.ones(3, 2000)).shape
    (True, torch.Size([2000, 1027]))
    """
    if latent <= WIDE:
        return None
    drawn = _orthonormal(latent, WIDE)
    return drawn if weight is None else torch.cat([drawn.to(weight), weight.detach().T], dim=1)


@contextmanager
def narrowed(weight: Tensor, through: Tensor | None) -> Iterator[None]:
    """Within, a dense layer's weight (k, latent) reads what its lens shows; its rows that change are brought back.

    >>> layer = torch.nn.Linear(2000, 3)
    >>> with torch.no_grad(), narrowed(layer.weight, lens(2000, layer.weight)):
    ...     layer(torch.zeros(5, 1027)).shape
    torch.Size([5, 3])
    """
    if through is None:
        yield
        return
    wide, count = weight.data, len(weight)
    start = torch.cat([wide.new_zeros(count, through.shape[1] - count), torch.eye(count).to(wide)], dim=1)
    weight.data = start.clone()
    try:
        yield
    finally:
        changed = (weight.data != start).any(dim=1)
        wide[changed] = weight.data[changed] @ through.T
        weight.data = wide


@lru_cache(maxsize=1)
def _orthonormal(latent: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(latent)
    axes: Tensor = torch.linalg.qr(torch.randn(latent, columns, generator=generator)).Q
    return axes.contiguous()
