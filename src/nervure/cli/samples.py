"""Data for a run on the command line: its own, other data, new samples, or single pictures."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nervure.cli.common import load_data
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.data import Dataset
    from nervure.store import Run

__all__ = ["as_it_was", "data_of", "new_samples", "pictures"]

_READING = ("window", "stride", "label", "skip", "header", "recording")
"""Options that say how a file's rows become samples, which new files of the same kind share."""


def data_of(run: Run, source: str | None, data_dir: Path | None, options: Mapping[str, object]) -> Dataset:
    """The data that a run was made on, or other data with labels, as the run's network reads it."""
    from nervure.study import run_data

    return run_data.data_of(run, source, data_dir, options, own_loader(run) if source is None else load_data)


def as_it_was(run: Run, moved: str | None, data_dir: Path | None, options: Mapping[str, object]) -> Dataset:
    """A run's own data as it was loaded then, from its source or from where it has ``moved`` to."""
    from nervure.study.run_data import as_kind

    load, source = (own_loader(run), run.source) if moved is None else (load_data, moved)
    return as_kind(run, source, data_dir, {**run.options, **options}, load)


def own_loader(run: Run) -> Callable[[str, Path | None, dict[str, object]], Dataset]:
    """Loads the source that a run names, if it names one; errors say that it may have moved."""
    if run.source in ("", "arrays"):
        raise InputError(f"{run.path}: the run does not say where its data is; give --data")

    def load(source: str, data_dir: Path | None, options: dict[str, object]) -> Dataset:
        try:
            return load_data(source, data_dir, options)
        except InputError as error:
            raise InputError(f"{error} (the data of {run.path}; if it has moved, give --data)") from error

    return load


def new_samples(run: Run, source: str, data_dir: Path | None, options: Mapping[str, object]) -> Dataset:
    """Samples to predict: labels that they have are ignored, and pictures are brought to the network's size.

    A file like the run's own is read as that was, its labels left aside, as far as it can be.
    """
    from nervure.study.run_data import adapted

    alike = Path(source).suffix == Path(run.source).suffix != ""
    own = {name: run.options[name] for name in _READING if alike and name in run.options and name not in options}
    unlabelled = {name: value for name, value in own.items() if name != "label"}
    plain = {"task": "none", "validation": 0.0, "test": 0.0, **options}
    for more in (own, unlabelled):
        with contextlib.suppress(InputError):
            if more:
                return adapted(run, source, data_dir, {**plain, **more}, load_data)
    return adapted(run, source, data_dir, plain, load_data)


def pictures(run: Run, files: Sequence[str], *, skip_corrupt: bool) -> Dataset:
    """Single picture files as one data set."""
    from nervure.data import from_arrays
    from nervure.data.pictures import read_pictures
    from nervure.study.run_data import read_as

    if run.kind != "image":
        raise InputError(f"{files[0]}: a picture, but {run.path} reads {run.kind} samples of shape {run.in_shape}")
    for file in files:
        if not Path(file).is_file():
            raise InputError(f"{file}: no such file")
    where = files[0] if len(files) == 1 else f"{len(files)} pictures"
    x, kept = read_pictures(
        [Path(file) for file in files],
        files,
        size=run.in_shape[1:],
        on_corrupt="skip" if skip_corrupt else "refuse",
        where=where,
    )
    ds = from_arrays(x, kind="image", layout="chw", task="none", validation=0, test=0, standardize=False)
    return read_as(run, dataclasses.replace(ds, items=tuple(files[number] for number in kept), source=where))
