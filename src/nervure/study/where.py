"""Where a study's data is, and whether it is there, asked before the first trial starts."""

from __future__ import annotations

import os
from pathlib import Path

from nervure.data.sources import sources
from nervure.errors import InputError
from nervure.study.table import Study

__all__ = ["place_of", "require_data"]


def place_of(study: Study, data_dir: Path | None) -> Path | None:
    """The file or folder that :func:`nervure.data.load` reads for a study; None if it needs none, or there is none.

    >>> from nervure.study.table import load
    >>> place_of(load("digits-lenet5"), None) is None
    True
    """
    source = study.data.source
    if _named(source):
        return None
    archive, colon, _ = source.rpartition(":")
    for name in (source, *([archive] if colon else [])):
        path = Path(os.path.expanduser(name))
        tried = [path] if data_dir is None else [path, data_dir / path, data_dir / f"{name}.npz"]
        for one in tried:
            if one.exists():
                return one
    return None


def require_data(study: Study, data_dir: Path | None) -> None:
    """Refuse a study whose data is not on this machine, saying how to pass it and where to get it.

    >>> from nervure.study.table import load
    >>> require_data(load("digits-lenet5"), None)
    """
    source = study.data.source
    if _named(source) or place_of(study, data_dir):
        return
    how = f"there is none in {data_dir}" if data_dir is not None else "give the folder that holds it with --data-dir"
    get = f"; {study.data.get}" if study.data.get else ""
    raise InputError(f"{study.name} needs the data {source!r}: {how}{get}")


def _named(source: str) -> bool:
    return not source or source in sources or source.startswith("hf:")
