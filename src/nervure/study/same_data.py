"""Whether the trials of one table were made on the same data: a digest of the file, or folder, that they came from."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from nervure.errors import InputError
from nervure.study.records import Record, path_of

__all__ = ["BLOCK", "BLOCKS", "WHOLE_BYTES", "digest", "require_same"]

WHOLE_BYTES = 1 << 28
"""Files up to this size together (256 MiB) are read whole; of larger ones, blocks at equal distances."""

BLOCK, BLOCKS = 1 << 14, 1024

_SPLIT = re.compile(r"_(train|test)(?=\.)", re.IGNORECASE)


def digest(place: Path) -> str:
    """Of a file, or of a folder's files and their names: 16 hexadecimal digits, the same wherever it lies.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.npz"
    ...     one = digest(file) if file.write_text("some") else ""
    ...     one == digest(file), one == digest(Path(folder))
    (True, False)
    """
    found = hashlib.sha256()
    try:
        files = list(_files(place))
        sizes = [file.stat().st_size for file in files]
        for file, size in zip(files, sizes, strict=True):
            name = "" if file == place else file.relative_to(place if place.is_dir() else place.parent).as_posix()
            found.update(f"{name}\0{size}\0".encode())
        for file, start, length in _parts(files, sizes):
            found.update(part(file, start, length))
    except OSError as error:
        raise InputError(f"{error.filename or place}: cannot be read ({error.strerror})") from error
    return found.hexdigest()[:16]


def part(file: Path, start: int, length: int) -> bytes:
    """Some bytes of a file."""
    with open(file, "rb") as opened:
        opened.seek(start)
        return opened.read(length)


def require_same(records: Sequence[Record], out: Path, place: Path | None = None, now: str = "") -> None:
    """Refuse to put trials of different data into one table, or to add some on other data.

    Records made before digests were kept have none, and say nothing.

    Parameters
    ----------
    records : sequence of Record
        Of one profile of a study.
    out : path
        The folder that holds them.
    place, now : path and str
        The data that the next trials would be made on, and its digest.
    """
    held = [record for record in records if record.done and record.digest]
    if not held:
        return
    what = f"{held[0].trial.study} {held[0].trial.profile}"
    [(most, _), *others] = Counter(record.digest for record in held).most_common()
    if others:
        fewer = [path_of(out, record.trial).name for record in held if record.digest != most]
        more = f" and {len(fewer) - 3} more" if len(fewer) > 3 else ""
        raise InputError(
            f"{out}: holds trials of {what} of two or more data sets; delete those of one in {out / 'trials'} "
            f"({', '.join(fewer[:3])}{more}), and make them again"
        )
    if now and now != most:
        raise InputError(
            f"{out}: its trials of {what} were made on other data than {place} (the digests of the files differ); give "
            "the --data-dir that they were made with, or another folder (-o) for trials on this one"
        )


def _files(place: Path) -> Iterator[Path]:
    """The file with its pair of the other split, or a folder's files by name, but for hidden ones."""
    if not place.is_dir():
        own = _SPLIT.sub("", place.name)
        pair = (
            [one for one in sorted(place.parent.iterdir()) if _SPLIT.sub("", one.name) == own]
            if own != place.name
            else []
        )
        yield from pair or [place]
        return
    for one in sorted(place.iterdir()):
        if not one.name.startswith("."):
            yield from _files(one)


def _parts(files: Sequence[Path], sizes: Sequence[int]) -> Iterator[tuple[Path, int, int]]:
    """What is read: everything, or of large files blocks at equal distances, as if they were one."""
    total = sum(sizes)
    if total <= WHOLE_BYTES:
        for file, size in zip(files, sizes, strict=True):
            yield from ((file, start, 1 << 24) for start in range(0, size, 1 << 24))
        return
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    at = 0
    for number in range(BLOCKS):
        start = number * max(0, total - BLOCK) // (BLOCKS - 1)
        while ends[at + 1] <= start:
            at += 1
        yield files[at], start - ends[at], BLOCK
