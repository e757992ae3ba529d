"""What stands in a run's folder when training begins: all processes of a group must find the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from nervure.errors import InputError
from nervure.store import folder as runs
from nervure.train import checkpoint
from nervure.train.runtime import said_by_ranks

__all__ = ["Standing", "standing"]

Standing = Literal["nothing", "run", "checkpoint"]


def standing(out: Path, *, resume: bool, overwrite: bool) -> Standing:
    """What there is to go on with in a folder that may be written to, the same on every process of a group.

    One that sees another folder than the first does would train something else, or wait for ever.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     standing(Path(folder), resume=True, overwrite=False)
    'nothing'
    """
    found: Standing = "nothing"
    refused: InputError | None = None
    digest = ""
    try:
        runs.claim(out, resume=resume, overwrite=overwrite)
    except InputError as error:
        refused = error
    else:
        if resume:
            found, digest = _held(out)
    first, *others = said_by_ranks(f"{refused or found} {digest}".strip())
    for rank, other in enumerate(others, start=1):
        if other != first:
            raise InputError(
                f"{out} is not one folder to all processes: the first finds there: {first}; process {rank}: {other}; "
                "give a folder on a file system that all of them share"
            )
    if refused is not None:
        raise refused
    return found


def _held(out: Path) -> tuple[Standing, str]:
    """What a folder holds, and a digest by which processes compare it."""
    kinds: dict[Standing, Path] = {"run": out / "run.json", "checkpoint": checkpoint.file_of(out)}
    for kind, file in kinds.items():
        if file.is_file():
            with open(file, "rb") as held:
                return kind, hashlib.file_digest(held, "sha256").hexdigest()[:12]
    return "nothing", ""
