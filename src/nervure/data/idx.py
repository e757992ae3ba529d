"""idx files, plain (then memory-mapped) or gzipped, as the MNIST family is published."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from nervure.data.contents import Array, Contents, join, ranges
from nervure.errors import InputError

__all__ = ["is_idx", "read", "read_folder", "read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(path: Path) -> bool:
    """Whether a file's name is one of the usual names of idx files.

    >>> is_idx(Path("train-images-idx3-ubyte.gz")), is_idx(Path("a.idx")), is_idx(Path("a.csv"))
    (True, True, False)
    """
    name = path.name.removesuffix(".gz")
    return name.endswith(("ubyte", ".idx")) or ".idx" in name or "-idx" in name


def read_idx(path: Path) -> Array:
    """The array of one idx file: mapped when it is plain and of single bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.idx"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
    ...     read_idx(path).tolist()
    [7, 3]
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                content = file.read()
            start, dtype, shape = _header(content[:64], path)
            size = len(content)
        else:
            with open(path, "rb") as file:
                start, dtype, shape = _header(file.read(64), path)
            size = path.stat().st_size
            content = b""
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as an idx file ({error})") from error
    expected = start + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise InputError(f"{path}: is {size} bytes long where its header announces {expected}; fetch it again")
    if 0 in shape:
        raise InputError(f"{path}: holds no samples")
    if content:
        array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    else:
        array = np.memmap(path, dtype, "r", start, shape)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def read(path: Path) -> Contents:
    """One file of images, with the labels that lie beside it under the usual name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train-images-idx3-ubyte"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8]))
    ...     read(path).x.tolist()
    [[[9, 8]]]
    """
    labels = _beside(path)
    y = None if labels is None else np.array(read_idx(labels))
    return Contents(x=read_idx(path), y=y, where=str(path))


def read_folder(folder: Path) -> Contents | None:
    """The training and test files of a folder; None when it holds no idx files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_folder(Path(folder)) is None
    True
    """
    images = {
        "train" if path.name.startswith("train") else "test": path
        for path in sorted(folder.iterdir(), reverse=True)
        if is_idx(path) and "images" in path.name
    }
    if not images:
        return None
    if "train" not in images:
        raise InputError(f"{folder}: has {images['test'].name} but no train-images file")
    found = {split: read(images[split]) for split in ("train", "test") if split in images}
    ys = [part.y for part in found.values() if part.y is not None]
    if ys and len(ys) < len(found):
        raise InputError(f"{folder}: one of its images files has no labels file beside it")
    return Contents(
        x=join([part.x for part in found.values()], str(folder)),
        y=np.concatenate(ys) if ys else None,
        splits=ranges({split: len(part.x) for split, part in found.items()}),
        where=str(folder),
    )


def _header(head: bytes, path: Path) -> tuple[int, np.dtype[np.generic], tuple[int, ...]]:
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= head[3] <= 8:
        raise InputError(f"{path}: is no idx file (it begins with {head[:4].hex() or 'nothing'})")
    axes = head[3]
    if len(head) < 4 + 4 * axes:
        raise InputError(f"{path}: ends within its header; fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(head, ">u4", axes, 4))
    return 4 + 4 * axes, np.dtype(_TYPES[head[2]]), shape


def _beside(path: Path) -> Path | None:
    if "images" not in path.name:
        return None
    name = path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    return next((path.with_name(one) for one in (name, plain, plain + ".gz") if path.with_name(one).exists()), None)
