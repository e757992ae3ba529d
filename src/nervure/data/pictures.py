"""Image files to arrays of one common shape."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from nervure.data.contents import Array
from nervure.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["SUFFIXES", "OnCorrupt", "Size", "read_pictures"]

log = logging.getLogger(__name__)

Size = int | tuple[int, int] | Sequence[int] | None
OnCorrupt = Literal["refuse", "skip"]
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_TURNED = frozenset({5, 6, 7, 8})
_ORIENTATION = 0x0112


def read_pictures(
    files: Sequence[Path | Callable[[], Path | IO[bytes]]],
    names: Sequence[str],
    *,
    size: Size,
    on_corrupt: OnCorrupt,
    where: str,
) -> tuple[Array, list[int]]:
    """Decode pictures into (n, channels, height, width) u8, and say which of them these are.

    Grey when all pictures are grey, colour otherwise (transparency is dropped). With ``size`` (a side, or
    height and width) each is resized to it, the aspect not kept; without, all must have one size. A picture
    that cannot be decoded is refused by name, or left out with ``on_corrupt="skip"``.

    >>> from io import BytesIO
    >>> files = [lambda: BytesIO(b"P5 2 1 255 ab")]
    >>> read_pictures(files, ["one"], size=None, on_corrupt="refuse", where="here")
    (array([[[[97, 98]]]], dtype=uint8), [0])
    """
    if on_corrupt not in ("refuse", "skip"):
        raise InputError(f"on_corrupt = {on_corrupt!r}; give 'refuse' or 'skip'")
    wanted = _sides(size)
    heads: dict[int, tuple[tuple[int, int], bool]] = {}
    decoded: dict[int, Array] = {}
    corrupt: list[str] = []
    for number, one in enumerate(files):
        try:
            heads[number], decoded[number] = _decode(one() if callable(one) else one, wanted)
        except _errors() as error:
            reason = "no image" if "cannot identify" in str(error) else error
            corrupt.append(f"{names[number]} ({reason})")
            heads.pop(number, None)
    _report(corrupt, len(files), on_corrupt, where)
    if not heads:
        raise InputError(f"{where}: holds no images that can be read")
    _check_sizes(heads, names, wanted, where)
    grey = all(one_grey for _, one_grey in heads.values())
    kept = sorted(heads)
    pictures = np.stack([_channels(decoded[number], grey) for number in kept])
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), kept


def _sides(size: Size) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise InputError(f"size = {size}; give a side, or height and width, of at least 1")
    return sides


def _errors() -> tuple[type[Exception], ...]:
    """What PIL raises for a damaged picture; the second line is of damaged metadata."""
    from PIL import Image

    return (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError,
            struct.error, TypeError, LookupError, ArithmeticError)  # fmt: skip


def _decode(file: Path | IO[bytes], wanted: tuple[int, int] | None) -> tuple[tuple[tuple[int, int], bool], Array]:
    from PIL import Image, ImageOps

    with Image.open(file) as picture:
        picture.load()
        turned = picture.getexif().get(_ORIENTATION) in _TURNED
        height, width = picture.size[::-1] if not turned else picture.size
        upright: Picture = ImageOps.exif_transpose(picture)
        deep = upright.mode.startswith(("I", "F"))
        grey = deep or upright.mode in ("1", "L", "LA", "La")
        plain = _from_deep(upright) if deep else upright.convert("L" if grey else "RGB")
        if wanted is not None and plain.size != wanted[::-1]:
            plain = plain.resize(wanted[::-1], Image.Resampling.BILINEAR)
        array = np.asarray(plain, dtype=np.uint8)
    return ((height, width), grey), array if array.ndim == 3 else array[..., None]


def _from_deep(picture: Picture) -> Picture:
    """Grey of sixteen bits, or of fractions from 0 to 1, in eight bits; what these do not hold is refused.

    A picture is read alike on its own and among others, so its range is never measured.
    """
    from PIL import Image

    values = np.asarray(picture)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise ValueError(f"fractions from {low:g} to {high:g}; bring them to 0 to 1, or save in 8 bits")
        return Image.fromarray((values * 255).round().astype(np.uint8))
    if low < 0 or high > 0xFFFF:
        raise ValueError(f"whole numbers from {low} to {high}; bring them to 0 to 65535, or save in 8 bits")
    if 0 < high < 0x100:
        raise ValueError("more than 8 bits, but no value above 255, so it would be all black; save it in 8 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _channels(picture: Array, grey: bool) -> Array:
    return picture if grey or picture.shape[-1] == 3 else np.repeat(picture, 3, axis=-1)


def _report(corrupt: list[str], total: int, on_corrupt: OnCorrupt, where: str) -> None:
    if not corrupt:
        return
    others = f" and {len(corrupt) - 1} more" if len(corrupt) > 1 else ""
    if on_corrupt == "refuse":
        raise InputError(
            f"{where}: {corrupt[0]}{others} cannot be decoded; mend or remove, or leave out with on_corrupt='skip'"
        )
    log.warning(
        "%s: left out %d of %d images that cannot be decoded: %s%s",
        where,
        len(corrupt),
        total,
        corrupt[0],
        others,
    )


def _check_sizes(
    heads: dict[int, tuple[tuple[int, int], bool]],
    names: Sequence[str],
    wanted: tuple[int, int] | None,
    where: str,
) -> None:
    sizes = Counter(size for size, _ in heads.values())
    if wanted is not None or len(sizes) == 1:
        return
    (height, width), count = sizes.most_common(1)[0]
    odd = next(number for number in sorted(heads) if heads[number][0] != (height, width))
    other = heads[odd][0]
    raise InputError(
        f"{where}: images of {len(sizes)} sizes ({count} of {height} x {width}; {names[odd]} is "
        f"{other[0]} x {other[1]}); give a common size=, such as size={height}"
    )
