"""Each sample brought to the range from 0 to 1 by itself: spec deepcluster, Eq 3.14."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["stretch"]


def stretch(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """``(x - min x) / (max x - min x)``, over all channels and places of one sample jointly.

    Parameters
    ----------
    x : (n, ...) float
        A sample that does not vary becomes zeros.
    mask : (n, time) bool, optional
        Where series (n, channels, time) have values; the other steps do not count, and become 0.

    Returns
    -------
    (n, ...) float

    Examples
    --------
    >>> stretch(torch.tensor([[2.0, 6.0, 4.0], [5.0, 5.0, 5.0]])).tolist()
    [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    """
    axes = tuple(range(1, x.ndim))
    if mask is None:
        low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    else:
        padding = ~mask[:, None]
        low = x.masked_fill(padding, float("inf")).amin(axes, keepdim=True)
        high = x.masked_fill(padding, float("-inf")).amax(axes, keepdim=True)
    span = high - low
    varies = span > 0
    if mask is not None:
        varies = varies & mask[:, None]
    return torch.where(varies, (x - low) / torch.where(span > 0, span, 1.0), 0.0)
