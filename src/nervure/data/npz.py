"""``.npz`` archives and ``.npy`` files of numpy; nothing in them is ever unpickled.

Keys of an archive: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (and ``x_validation``, ``y_validation``),
or ``x`` and ``y``; ``names`` or ``labels`` for class names; ``len_train``, ``len_test`` or ``len`` for series
of unequal length. An archive of several sets has them under ``NAME/``; ``FILE.npz:NAME`` picks one.
Large members that are stored uncompressed are mapped into memory, not read.
"""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from nervure.data.contents import Array, Contents, join, ranges
from nervure.data.labels import words
from nervure.data.splits import named_splits
from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["Archive", "read", "read_array"]

MAP_BYTES = 1 << 24
"""Uncompressed members from this size on are mapped."""

_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,  # encrypted, or compressed in a way that is not known
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
)
_MOSAIC = re.compile(r"_(jpg|webp)\d*$")


class Archive:
    """The arrays of an ``.npz`` file by key: read when asked for, mapped when large and uncompressed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "a.npz", x=np.arange(3))
    ...     Archive(Path(folder) / "a.npz")["x"].tolist()
    [0, 1, 2]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        except _BROKEN as error:
            raise InputError(f"{path}: cannot be read as an .npz archive ({error})") from error

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def keys(self) -> tuple[str, ...]:
        """All keys, in the archive's order."""
        return tuple(self._members)

    def __getitem__(self, key: str) -> Array:
        info = self._members[key]
        try:
            if info.compress_type == zipfile.ZIP_STORED and info.file_size >= MAP_BYTES:
                return self._map(info)
            with zipfile.ZipFile(self.path) as archive, archive.open(info) as member:
                return np.asarray(np.lib.format.read_array(member, allow_pickle=False))
        except _BROKEN as error:
            raise InputError(f"{self.path}: {key!r} cannot be read{_reason(error)}") from error

    def _map(self, info: zipfile.ZipInfo) -> Array:
        with open(self.path, "rb") as file:
            file.seek(info.header_offset)
            local = file.read(30)
            name, extra = struct.unpack("<HH", local[26:30])
            file.seek(info.header_offset + 30 + name + extra)
            shape, fortran, dtype = _header(file)
            place = file.tell()
        return np.memmap(self.path, dtype, "r", place, shape, "F" if fortran else "C")


def read(path: Path, *, name: str | None = None) -> Contents:
    """The contents of an archive, or of its set ``name``.

    It has ``x`` and perhaps ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test`` and perhaps ``x_validation`` (or
    ``x_val``) and ``y_validation``. ``names`` or ``labels`` are the names of classes; ``len``, or ``len_train`` and so
    on, the time steps of series of unequal length. What is not compressed is mapped where it is large.

    Parameters
    ----------
    path : path
        The archive.
    name : str, optional
        Which of several sets to read, whose keys begin with ``NAME/``; ``FILE.npz:NAME`` says it to ``load``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "a.npz", **{"one/x": np.zeros((4, 9)), "one/y": np.arange(4) % 2})
    ...     read(Path(folder) / "a.npz", name="one").x.shape
    (4, 9)
    """
    archive = Archive(path)
    keys = archive.keys()
    where = f"{path}:{name}" if name else str(path)
    prefix = f"{name}/" if name else ""
    pieces = _pieces(keys, prefix, where)
    if not pieces:
        raise InputError(_missing(path, keys, name))
    xs = [archive[f"{prefix}x{suffix}"] for suffix in pieces.values()]
    for x in xs:
        if x.ndim == 0 or len(x) == 0:
            raise InputError(f"{where}: holds no samples")
    y = _joined(archive, prefix, "y", pieces, where)
    if y is not None and len(y) != sum(map(len, xs)):
        raise InputError(f"{where}: {sum(map(len, xs))} samples but {len(y)} labels; give one label a sample")
    named = f"{prefix}labels" if f"{prefix}labels" in keys else f"{prefix}names"
    lengths = _joined(archive, prefix, "len", pieces, where)
    return Contents(
        x=join(xs, where),
        y=y,
        kind="series" if (name and xs[0].ndim in (2, 3)) or lengths is not None else None,
        names=words(archive[named]).ravel().tolist() if named in keys else (),
        splits=ranges({split: len(x) for split, x in zip(pieces, xs, strict=True)}),
        lengths=lengths,
        where=where,
    )


def read_array(path: Path, *, labels: str | Path | None = None) -> Contents:
    """The contents of an ``.npy`` file, mapped.

    Parameters
    ----------
    path : path
        The file.
    labels : path, optional
        Another such file with a label for each sample; without it, of ``x*.npy`` the ``y*.npy`` beside it, if any.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "x.npy", np.zeros((4, 9)))
    ...     type(read_array(Path(folder) / "x.npy").x).__name__
    'memmap'
    """
    x = _load(path)
    beside = path.with_name("y" + path.name[1:])
    y = None
    if labels is not None:
        y = _load(Path(labels))
    elif path.name.startswith("x") and beside.exists():
        y = _load(beside)
    return Contents(x=x, y=None if y is None else np.array(y), where=str(path))


def _load(path: Path) -> Array:
    try:
        with open(path, "rb") as file:
            _header(file)
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except _BROKEN as error:
        raise InputError(f"{path}: cannot be read as an .npy file{_reason(error)}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, order and number type; objects are refused, since reading them would run code."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    if dtype.hasobject:
        raise ValueError("Object arrays")
    return shape, fortran, dtype


def _reason(error: Exception) -> str:
    if "bject arrays" in str(error):
        return ": it holds Python objects, which are never unpickled; save plain numbers or words"
    return f" ({error})"


def _pieces(keys: tuple[str, ...], prefix: str, where: str) -> dict[str, str]:
    """What the keys of each split end in."""
    stem = f"{prefix}x_"
    found = named_splits([key.removeprefix(stem) for key in keys if key.startswith(stem)], where)
    if found:
        return {split: f"_{called}" for split, called in found.items()} if "train" in found else {}
    return {"": ""} if f"{prefix}x" in keys else {}


def _joined(archive: Archive, prefix: str, stem: str, pieces: dict[str, str], where: str) -> Array | None:
    wanted = [f"{prefix}{stem}{suffix}" for suffix in pieces.values()]
    there = [key in archive for key in wanted]
    if not any(there):
        return None
    if not all(there):
        lack = wanted[there.index(False)]
        raise InputError(f"{where}: has {wanted[there.index(True)]!r} but no {lack!r}; add it (-1 for unknown labels)")
    return np.concatenate([archive[key] for key in wanted])


def _missing(path: Path, keys: tuple[str, ...], name: str | None) -> str:
    sets = tuple(dict.fromkeys(key.rpartition("/")[0] for key in keys if "/" in key))
    if name:
        return f"{path}: has no set {name!r}; {nearest(name, sets) if sets else 'it holds a single set'}"
    if any(_MOSAIC.search(key) for key in keys):
        return (
            f"{path}: holds its images as mosaics; turn it once into plain arrays with "
            f"`python benchmarks/unpack.py {path.parent} CACHE_DIR` and read it from there"
        )
    if sets:
        return f"{path}: holds several sets; name one as {path.name}:NAME. There are: {', '.join(sets)}"
    return f"{path}: has neither 'x_train' nor 'x'; its keys are {', '.join(keys) or 'none'}"
