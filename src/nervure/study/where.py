"""Whether a study's data is there, asked before the first trial starts."""

from __future__ import annotations

from pathlib import Path

from nervure.data.sources import sources
from nervure.errors import InputError
from nervure.study.table import Study

__all__ = ["require_data"]


def require_data(study: Study, data_dir: Path | None) -> None:
    """Refuse a study whose data is not on this machine, saying how to pass it and where to get it.

    >>> from nervure.study.table import load
    >>> require_data(load("digits-lenet5"), None)
    """
    source = study.data.source
    if source in sources or source.startswith("hf:"):
        return
    archive, colon, _ = source.rpartition(":")
    named = [source, *([archive] if colon else [])]
    folders = [Path(), *([data_dir] if data_dir is not None else [])]
    places = [folder / name for folder in folders for name in named]
    places += [data_dir / f"{name}.npz" for name in named if data_dir is not None]
    if any(place.exists() for place in places):
        return
    how = f"there is none in {data_dir}" if data_dir is not None else "give the folder that holds it with --data-dir"
    get = f"; {study.data.get}" if study.data.get else ""
    raise InputError(f"{study.name} needs the data {source!r}: {how}{get}")
