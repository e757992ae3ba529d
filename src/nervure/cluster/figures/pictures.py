"""Samples as small pictures: images as they are, series as strips with a line, for hover and grids."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nervure.data.dataset import Dataset, Preprocessing

__all__ = ["gaps", "images", "limits", "strips", "thumbnails"]

SIDE = 32
STRIP = (24, 48)


def limits(ds: Dataset, x: Tensor) -> tuple[float, float]:
    """What is black and what is white among images ``x`` (n, c, h, w) of network input, after scaling is undone.

    Stored whole numbers, and samples that were stretched each by itself, reach from 0 to 1; others as far as these do.
    """
    given = ds.preprocessing
    if given.each or given.clip or given.scale != 1.0:
        return 0.0, 1.0
    values = _unscaled(given, x)
    return float(values.min()), float(values.max())


def images(preprocessing: Preprocessing, x: Tensor, low: float = 0.0, high: float = 1.0) -> NDArray[np.uint8]:
    """Network input (n, c, h, w) as pictures (n, 1 or 3, h, w); of other numbers of channels the first is shown.

    >>> images(Preprocessing(each="min-max"), torch.tensor([[[[0.0, 1.0]]]])).tolist()
    [[[[0, 255]]]]
    """
    values = (_unscaled(preprocessing, x) - low) / max(high - low, 1e-12)
    values = values if values.shape[1] in (1, 3) else values[:, :1]
    return np.asarray((values.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def strips(x: Tensor, mask: Tensor | None = None) -> NDArray[np.uint8]:
    """Series (n, variates, time) as white pictures (n, 1, 24, 48) with the first variate as a dark line.

    Each is stretched to its own range; masked steps at its end leave the strip to the rest.

    >>> strips(torch.tensor([[[0.0, 1.0]]])).shape
    (1, 1, 24, 48)
    """
    tall, wide = STRIP
    made = np.full((len(x), 1, tall, wide), 255, dtype=np.uint8)
    for number, series in enumerate(x[:, 0].numpy()):
        held = series if mask is None else series[mask[number].numpy()]
        held = held if len(held) > 1 else np.zeros(2)
        spread = float(np.ptp(held)) or 1.0
        line = np.interp(np.linspace(0, len(held) - 1, wide), np.arange(len(held)), held)
        row = ((1 - (line - held.min()) / spread) * (tall - 3) + 1).round().astype(int)
        for column in range(wide):
            before = row[max(0, column - 1)]
            made[number, 0, min(before, row[column]) : max(before, row[column]) + 1, column] = 40
    return made


def thumbnails(ds: Dataset, x: Tensor, mask: Tensor | None = None) -> NDArray[np.uint8] | None:
    """Samples (n, ...) of network input as pictures of at most 32 pixels; tables have none.

    >>> ds = Dataset(np.zeros((1, 1, 4, 4), np.float32), None, "image", "none")
    >>> thumbnails(ds, torch.zeros(1, 1, 4, 4)).shape
    (1, 1, 4, 4)
    """
    if ds.kind == "series":
        return strips(x, mask)
    if ds.kind != "image":
        return None
    low, high = limits(ds, x)
    if max(x.shape[2:]) > SIDE:
        size = [max(1, round(side * SIDE / max(x.shape[2:]))) for side in x.shape[2:]]
        x = functional.interpolate(x, size=size, mode="area")
    return images(ds.preprocessing, x, low, high)


def gaps(pictures: NDArray[np.uint8], captions: list[str], columns: int, counts: list[int]) -> NDArray[np.uint8]:
    """Rows of pictures padded with grey ones to ``columns``: row i has ``counts[i]`` pictures; captions are padded too.

    >>> words = ["a", "b"]
    >>> gaps(np.zeros((2, 1, 2, 2), np.uint8), words, 2, [1, 1]).shape, words
    ((4, 1, 2, 2), ['a', '', 'b', ''])
    """
    grey = np.full((1, *pictures.shape[1:]), 128, dtype=np.uint8)
    rows, words, start = [], [], 0
    for count in counts:
        missing = columns - count
        rows += [pictures[start : start + count], *[grey] * missing]
        words += captions[start : start + count] + [""] * missing
        start += count
    captions[:] = words
    return np.concatenate(rows) if rows else pictures


def _unscaled(given: Preprocessing, x: Tensor) -> Tensor:
    return given.invert(x.detach().to(torch.float32)) * given.scale
