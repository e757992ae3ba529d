"""Files that are there whole or not at all: temporary name, fsync, replace."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from nervure.errors import InputError

__all__ = ["alone", "clear_errors", "leftover", "making", "replacing", "write_json", "write_text"]

_WHY = {
    errno.ENOSPC: "no room left on the disk; free some, or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some room, or write elsewhere",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another name",
    errno.EFBIG: "the file grew larger than the system allows; write elsewhere",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ENOENT: "no folder can be made there; choose another one",
    errno.EEXIST: "a file stands where a folder is needed; choose another name",
}


@contextlib.contextmanager
def clear_errors(path: Path | str) -> Iterator[None]:
    """Turn what the system says of ``path`` into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in _WHY:
            raise InputError(f"cannot write {path}: {_WHY[error.errno]}") from error
        raise


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it becomes ``path``, on failure it is removed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    with clear_errors(path), making(path.parent):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            with contextlib.suppress(OSError):  # not every file system has this for folders
                _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """A folder to write in; on failure, what had to be made of it and holds nothing is removed again.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with contextlib.suppress(KeyError), making(Path(place) / "a" / "b"):
    ...         raise KeyError
    ...     list(Path(place).iterdir())
    []
    """
    fresh = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for one in fresh:
                one.rmdir()
        raise


def leftover(name: str) -> str | None:
    """The file that a temporary name was to become, if a killed process has left it behind.

    >>> leftover(".run.json.a1b2c3.partial"), leftover("run.json")
    ('run.json', None)
    """
    if not (name.startswith(".") and name.endswith(".partial")):
        return None
    return name[1:].removesuffix(".partial").rpartition(".")[0]


@contextlib.contextmanager
def alone(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder, made if need be, for one process; it is free again when that process ends, in whatever way.

    Where another one holds it, so many seconds are waited for it. Systems without such locks go on without one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place, alone(Path(place)), alone(Path(place)):
    ...     pass
    Traceback (most recent call last):
    nervure.errors.InputError: another process is writing to ...; wait for it, or choose another folder
    """
    if importlib.util.find_spec("fcntl") is None:
        yield
        return
    with contextlib.ExitStack() as held:
        with clear_errors(folder):
            held.enter_context(making(folder))
            handle = os.open(folder, os.O_RDONLY)
            held.callback(os.close, handle)
        end = time.monotonic() + wait
        with contextlib.suppress(OSError):  # a file system without locks
            while not _locked(handle):
                if time.monotonic() >= end:
                    raise InputError(f"another process is writing to {folder}; wait for it, or choose another folder")
                time.sleep(0.05)
        yield


def _locked(handle: int) -> bool:
    """Whether an open folder could be taken for this process."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write a text file, whole or not at all; what UTF-8 lacks, as in odd file names, is escaped."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode(errors="backslashreplace"))


def write_json(path: Path | str, data: object) -> None:
    """Write JSON that a person can read, whole or not at all."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
