"""What several commands do first: parse ``key=value``, open a run, find its data, set threads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nervure.cli.console import say
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.data import Dataset
    from nervure.store import Run

__all__ = ["data_of", "fits", "load_data", "pairs", "set_threads"]


def pairs(given: Sequence[str], option: str) -> dict[str, object]:
    """``["size=32", "label=kind"]`` as a dict; values are JSON where they can be, text otherwise.

    >>> pairs(["size=32", "label=kind"], "--data-option")
    {'size': 32, 'label': 'kind'}
    """
    found: dict[str, object] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise InputError(f"{option} {one!r}: write it as key=value")
        try:
            found[key.replace("-", "_")] = json.loads(value)
        except ValueError:
            found[key.replace("-", "_")] = value
    return found


def set_threads(threads: int | None) -> None:
    """Set torch's CPU threads, if asked."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def load_data(source: str, data_dir: Path | None, options: dict[str, object]) -> Dataset:
    """Load a source with options from the command line; an unknown option is named."""
    from nervure import data

    try:
        return data.load(source, data_dir=data_dir, **options)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"{source}: {error}") from error


def data_of(
    run: Run, source: str | None, data_dir: Path | None = None, options: dict[str, object] | None = None
) -> Dataset:
    """The data that a run was made on, or other data of the same kind, as the run's network reads it."""
    if source is None:
        if not run.source or run.source == "arrays":
            raise InputError(f"{run.path}: the run does not say where its data is; give --data")
        ds = load_data(run.source, data_dir, {**run.options, **(options or {})})
        if run.fingerprint and ds.fingerprint != run.fingerprint:
            say(f"warning: {run.source} is not what it was when {run.path} was made (its fingerprint differs)")
    else:
        ds = load_data(source, data_dir, options or {})
    fits(run, ds)
    return dataclasses.replace(ds, preprocessing=run.preprocessing)


def fits(run: Run, ds: Dataset) -> None:
    """Refuse data of another shape, kind or number of classes than the run's network reads."""
    if ds.kind != run.kind or ds.in_shape != run.in_shape:
        raise InputError(
            f"{ds.source} holds {ds.kind} samples of shape {ds.in_shape}, the run reads {run.kind} of {run.in_shape}"
        )
    if run.task == ds.task == "classification" and ds.names != run.names:
        raise InputError(
            f"{ds.source} has classes {', '.join(ds.names[:5])}..., the run has {', '.join(run.names[:5])}..."
        )
