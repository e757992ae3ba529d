"""A folder of pictures: one folder a class, or none; with train, validation and test above them, or not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nervure.data.contents import Contents
from nervure.data.pictures import SUFFIXES, OnCorrupt, Size, read_pictures
from nervure.data.splits import named_splits
from nervure.errors import InputError

__all__ = ["read", "spelt"]


def read(path: Path, *, size: Size = None, on_corrupt: OnCorrupt = "refuse", splits: bool = True) -> Contents:
    """Every picture of a folder as (channels, height, width) u8.

    Folders inside are classes, searched to any depth; a folder of pictures alone is data without labels.
    If the folders inside are named train (or training), val (valid, validation) and test (testing), in capitals or not,
    they are splits. What begins with a dot is left alone.

    Parameters
    ----------
    path : path
        The folder.
    size : int or (int, int), optional
        Side, or height and width, that all pictures are brought to; without it they must have one size.
    on_corrupt : {"refuse", "skip"}
        What to do with a picture that cannot be decoded.
    splits : bool
        Whether folders that are named for splits are splits; otherwise they are classes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "one.pgm").write_bytes(b"P5 2 1 255 ab")
    ...     read(Path(folder)).items
    ['one.pgm']
    """
    where = str(path)
    roots = _splits(path) if splits else {}
    found: list[tuple[Path, str | None, str]] = []
    for split, root in (roots or {"": path}).items():
        found += [(file, label, split) for file, label in _members(root)]
    labelled = {label is not None for _, label, _ in found}
    if len(labelled) > 1:
        raise InputError(f"{where}: some of its splits have class folders and some have none")
    names = [spelt(file.relative_to(path)) for file, _, _ in found]
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
        splits={split: np.flatnonzero(owners == split) for split in roots},
        items=[names[number] for number in kept],
        where=where,
    )


def spelt(path: str | os.PathLike[str]) -> str:
    """A name as text: bytes that are no UTF-8, as in old archives, are spelt out.

    >>> spelt(os.fsdecode(b"caf\\xe9"))
    'caf\\\\xe9'
    """
    return os.fsencode(path).decode(errors="backslashreplace")


def _splits(path: Path) -> dict[str, Path]:
    """The folder of each split, if that is what the folders inside are."""
    tops = [one.name for one in _folders(path)]
    found = named_splits(tops, str(path))
    others = [name for name in tops if name not in found.values()]
    if found and (others or "train" not in found):
        lack = f"{others[0]!r} is not" if others else "none for training"
        raise InputError(
            f"{path}: the folder {next(iter(found.values()))!r} is named for a split, but {lack}; name each train, val "
            "or test, or if they are classes give splits=False, in a shell --data-option splits=false"
        )
    return {split: path / name for split, name in found.items()}


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _pictures(path: Path, pattern: str) -> list[Path]:
    return sorted(
        one
        for one in path.glob(pattern)
        if one.suffix.lower() in SUFFIXES
        and one.is_file()
        and not any(part.startswith(".") for part in one.relative_to(path).parts)
    )


def _members(root: Path) -> list[tuple[Path, str | None]]:
    if (root / "run.json").is_file():
        raise InputError(f"{root} is a run, and no data; give the folder, file or name of samples")
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
        members += [(file, spelt(Path(folder.name))) for file in files]
    return members
