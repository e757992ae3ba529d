"""A folder of pictures: one folder a class, or none; with train, validation and test above them, or not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nervure.data.contents import Contents
from nervure.data.pictures import SUFFIXES, OnCorrupt, Size, read_pictures
from nervure.errors import InputError

__all__ = ["read"]

_SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test",
}  # fmt: skip


def read(path: Path, *, size: Size = None, on_corrupt: OnCorrupt = "refuse") -> Contents:
    """Every picture of a folder as (channels, height, width) u8.

    Folders inside are classes, searched to any depth; a folder of pictures alone is data without labels.
    If the folders inside are named train, val (or valid, validation) and test, they are splits.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "one.pgm").write_bytes(b"P5 2 1 255 ab")
    ...     read(Path(folder)).items
    ['one.pgm']
    """
    where = str(path)
    tops = _folders(path)
    as_splits = "train" in {_SPLITS.get(one.name) for one in tops} and all(one.name in _SPLITS for one in tops)
    roots = {_SPLITS[one.name]: one for one in tops} if as_splits else {"": path}
    found: list[tuple[Path, str | None, str]] = []
    for split, root in roots.items():
        found += [(file, label, split) for file, label in _members(root)]
    labelled = {label is not None for _, label, _ in found}
    if len(labelled) > 1:
        raise InputError(f"{where}: some of its splits have class folders and some have none")
    names = [_text(file.relative_to(path)) for file, _, _ in found]
    x, kept = read_pictures([file for file, _, _ in found], names, size=size, on_corrupt=on_corrupt, where=where)
    classes = sorted({label for _, label, _ in found if label is not None})
    place = {label: number for number, label in enumerate(classes)}
    owners = np.array([found[number][2] for number in kept])
    return Contents(
        x=x,
        y=np.array([place[found[number][1] or ""] for number in kept]) if classes else None,
        kind="image",
        layout="chw",
        names=classes,
        splits={split: np.flatnonzero(owners == split) for split in roots} if as_splits else {},
        items=[names[number] for number in kept],
        where=where,
    )


def _text(path: Path) -> str:
    """A name as text: bytes that are no UTF-8, as in old archives, are spelt out."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _pictures(path: Path, pattern: str) -> list[Path]:
    return sorted(
        one
        for one in path.glob(pattern)
        if one.suffix.lower() in SUFFIXES and one.is_file() and not one.name.startswith(".")
    )


def _members(root: Path) -> list[tuple[Path, str | None]]:
    classes = _folders(root)
    loose = _pictures(root, "*")
    if classes and loose:
        raise InputError(
            f"{root}: holds both pictures ({loose[0].name}) and folders ({classes[0].name}); "
            "give class folders, or pictures alone"
        )
    if not classes:
        if not loose:
            raise InputError(f"{root}: holds no images; known are {', '.join(sorted(SUFFIXES))}")
        return [(file, None) for file in loose]
    members: list[tuple[Path, str | None]] = []
    for folder in classes:
        files = _pictures(folder, "**/*")
        if not files:
            raise InputError(f"{folder}: this class folder holds no images; remove it or fill it")
        members += [(file, _text(Path(folder.name))) for file in files]
    return members
