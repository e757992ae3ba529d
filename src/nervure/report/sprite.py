"""Pictures as one encoded sheet, and indices into a palette as a small image."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import numpy as np

from nervure.evidence import Array

__all__ = ["Sheet", "as_pictures", "encode", "sheet", "uri"]

# Drawings, as of masks, have few colours.
_DRAWN = 16


class Sheet(NamedTuple):
    """Pictures side by side in one image, as a data URI; ``spots`` holds each one's CSS position."""

    uri: str
    size: tuple[float, float]
    spots: tuple[tuple[float, float], ...]
    shape: tuple[int, int]


def as_pictures(pictures: Array) -> Array:
    """Any (n, c, h, w), (n, h, w) or (h, w) numbers as (n, h, w, 1 or 3) bytes.

    Values with a fraction count as shares of white when none exceeds 1. NaN is black.

    >>> as_pictures(np.ones((2, 1, 4, 4))).max()
    np.uint8(255)
    """
    array = np.asarray(pictures)
    if array.size == 0 or array.ndim < 2:
        return np.zeros((0, 1, 1, 1), dtype=np.uint8)
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3:
        array = array[:, None]
    array = array.reshape(-1, *array.shape[-3:])
    array = array[:, :3] if array.shape[1] >= 3 else array[:, :1]
    if array.dtype != np.uint8:
        array = np.nan_to_num(np.asarray(array, dtype=np.float64), posinf=255, neginf=0)
        array = np.clip(np.rint(array * 255 if array.max() <= 1 else array), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def sheet(pictures: Array, *, side: int = 0) -> Sheet:
    """One image of all pictures of (n, h, w, c) bytes, each with a border of its own edge.

    The border keeps a scaled picture from showing a line of its neighbour. ``side`` bounds the longer side
    of a picture, in pixels; 0 leaves it.

    >>> sheet(np.zeros((5, 4, 6, 1), dtype=np.uint8)).shape
    (4, 6)
    """
    pictures = _smaller(pictures, side)
    n, height, width, channels = pictures.shape
    across = max(1, int(np.ceil(np.sqrt(n * height / max(1, width)))))
    down = max(1, -(-n // across))
    tall, wide = height + 2, width + 2
    canvas = np.zeros((down * tall, across * wide, channels), dtype=np.uint8)
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    spots = []
    for index in range(n):
        row, column = divmod(index, across)
        canvas[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide] = padded[index]
        spots.append(
            (
                100 * (column * wide + 1) / (across * wide - width),
                100 * (row * tall + 1) / (down * tall - height),
            )
        )
    # Large colour photographs compress badly as PNG; small or grey pictures and drawings must stay exact.
    photographs = channels == 3 and max(height, width) > 40 and _colours(pictures[:1]) > _DRAWN
    size = (100 * across * wide / width, 100 * down * tall / height)
    return Sheet(encode(canvas, photographs=photographs), size, tuple(spots), (height, width))


def encode(image: Array, *, photographs: bool = False, palette: bytes | None = None) -> str:
    """A data URI of (h, w, 1 or 3) bytes, or of (h, w) indices into ``palette``.

    >>> encode(np.zeros((2, 2, 1), dtype=np.uint8))[:22]
    'data:image/png;base64,'
    """
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(np.squeeze(image, -1) if image.ndim == 3 and image.shape[-1] == 1 else image)
    if palette is not None:
        picture = Image.frombytes("P", (image.shape[1], image.shape[0]), np.ascontiguousarray(image).tobytes())
        picture.putpalette(palette)
    if photographs:
        picture.save(buffer, "JPEG", quality=85)
        return uri(buffer.getvalue(), "image/jpeg")
    picture.save(buffer, "PNG", optimize=True)
    return uri(buffer.getvalue(), "image/png")


def uri(content: bytes, media: str) -> str:
    """Bytes as a data URI.

    >>> uri(b"a", "text/plain")
    'data:text/plain;base64,YQ=='
    """
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def _colours(pictures: Array) -> int:
    return len(np.unique(pictures.reshape(-1, pictures.shape[-1]), axis=0))


def _smaller(pictures: Array, side: int) -> Array:
    from PIL import Image

    n, height, width, _ = pictures.shape
    if not n or not side or max(height, width) <= side:
        return pictures
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = [np.asarray(Image.fromarray(np.squeeze(one)).resize(size, Image.Resampling.BOX)) for one in pictures]
    return np.stack(shrunk).reshape(n, size[1], size[0], -1)
