"""Data for a run: its own, or other data brought to what its network reads."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nervure import data
from nervure.data import Dataset
from nervure.data.pictures import SUFFIXES
from nervure.errors import InputError
from nervure.objectives.call import takes_mask
from nervure.store import Run
from nervure.train.reading import labelled

__all__ = ["adapted", "as_kind", "data_of", "loaded", "read_as"]

log = logging.getLogger(__name__)

Load = Callable[[str, Path | None, dict[str, object]], Dataset]


def loaded(source: str, data_dir: Path | None, options: dict[str, object]) -> Dataset:
    """A source; a folder that is given for this machine goes before the one among the options.

    >>> len(loaded("digits", None, {"test": 0.5}).indices("test"))
    898
    """
    place = {} if data_dir is None else {"data_dir": data_dir}
    return data.load(source, **{**options, **place})  # type: ignore[arg-type]


def data_of(
    run: Run, source: str | None, data_dir: Path | None, options: Mapping[str, object], load: Load = loaded
) -> Dataset:
    """The data that a run was made on, or other data with labels, as the run's network reads it.

    Parameters
    ----------
    run : Run
    source : str, optional
        Other data; without it the run's own, loaded as it was then, but for ``options``.
    data_dir : path, optional
        Where this machine keeps its data.
    options : mapping
        Of :func:`nervure.data.load`.
    load : callable
        ``load(source, data_dir, options)``, in place of :func:`loaded`.

    Returns
    -------
    Dataset
        Of the shape that the network reads, with the run's preprocessing, and classes numbered as the run does.

    Examples
    --------
    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> run = nv.store.Run.of(nv.nets.build("mlp", ds), ds)
    >>> data_of(run, None, None, {}).fingerprint == ds.fingerprint
    True
    """
    if source is not None:
        return labelled(run, adapted(run, source, data_dir, dict(options), load))
    ds = as_kind(run, run.source, data_dir, {**run.options, **options}, load)
    if run.fingerprint and ds.fingerprint != run.fingerprint:
        log.warning("%s is not what it was when %s was made (its fingerprint differs)", run.source, run.path)
    _check_shape(run, ds)
    return dataclasses.replace(labelled(run, ds), preprocessing=run.preprocessing)


def adapted(run: Run, source: str, data_dir: Path | None, options: dict[str, Any], load: Load = loaded) -> Dataset:
    """Samples from a source as the run's network reads them; its labels, if any, are left as they are."""
    folder = next((one for one in _places(source, data_dir) if one.is_dir()), None)
    drawn = run.kind == "image" and folder is not None and _holds_pictures(folder)
    if drawn:
        options = {"size": list(run.in_shape[1:]), **options}
    ds = as_kind(run, source, data_dir, {"standardize": False, **options}, load)
    if drawn and ds.items:
        ds = dataclasses.replace(ds, items=tuple(os.path.join(source, item) for item in ds.items))
    return read_as(run, ds) if drawn else _stored_as(run, ds)


def as_kind(run: Run, source: str, data_dir: Path | None, options: dict[str, Any], load: Load) -> Dataset:
    """Arrays and rows do not say what they hold, so they are read as the run's kind where that is possible."""
    if re.search(r"\.(np[yz]|csv|tsv)(:|$)", source) and "kind" not in options:
        with contextlib.suppress(InputError):
            return load(source, data_dir, {**options, "kind": run.kind})
    return load(source, data_dir, options)


def _places(source: str, data_dir: Path | None) -> list[Path]:
    return [Path(source).expanduser(), *([] if data_dir is None else [data_dir / source])]


def _holds_pictures(folder: Path) -> bool:
    return any(one.suffix.lower() in SUFFIXES for one in folder.rglob("*"))


def _stored_as(run: Run, ds: Dataset) -> Dataset:
    """Arrays in the form that the run's own data had; series that end earlier are padded where a mask is read."""
    masks = takes_mask(getattr(run.net, "encoder", run.net))
    if masks and ds.kind == run.kind == "series" and ds.in_shape[0] == run.in_shape[0]:
        ds = _padded(run, ds)
    _check_shape(run, ds)
    if run.task == "clustering":
        from nervure.cluster.samples import check_padding

        check_padding(ds, masks)
    return dataclasses.replace(ds, preprocessing=run.preprocessing)


def _padded(run: Run, ds: Dataset) -> Dataset:
    """Series (n, channels, time) as long as those that the run was trained on, with a mask of what is theirs."""
    lack = run.in_shape[-1] - ds.in_shape[-1]
    if lack < 0:
        raise InputError(
            f"{ds.source} holds series of up to {ds.in_shape[-1]} steps, {run.path} reads up to {run.in_shape[-1]}; "
            "cut them"
        )
    if lack == 0:
        return ds
    mask = np.ones((len(ds), ds.in_shape[-1]), dtype=bool) if ds.mask is None else ds.mask
    x = np.pad(np.asarray(ds.x), ((0, 0), (0, 0), (0, lack)))
    return dataclasses.replace(ds, x=x, mask=np.pad(mask, ((0, 0), (0, lack))))


def read_as(run: Run, ds: Dataset) -> Dataset:
    """Picture files, 0 to 255, for a network whose own data may have had another range or number of channels."""
    ds = dataclasses.replace(ds, x=_channels(ds.x, run.in_shape[0]))
    _check_shape(run, ds)
    if run.preprocessing.scale == 1.0:
        log.warning("%s was trained on pixels as decimal numbers; picture files are read as 0 to 1", run.path)
    return dataclasses.replace(ds, preprocessing=dataclasses.replace(run.preprocessing, scale=1 / 255))


def _channels(x: NDArray[np.generic], wanted: int) -> NDArray[np.generic]:
    """(n, c, height, width) bytes with one channel (ITU-R 601 luma) or three; other numbers are left alone."""
    if x.shape[1] == 1 and wanted == 3:
        return np.repeat(x, 3, axis=1)
    if x.shape[1] == 3 and wanted == 1:
        luma = np.tensordot(np.array([0.299, 0.587, 0.114]), x.astype(np.float64), axes=(0, 1))
        return luma.round().astype(np.uint8)[:, None]
    return x


def _check_shape(run: Run, ds: Dataset) -> None:
    if ds.kind != run.kind or ds.in_shape != run.in_shape:
        raise InputError(
            f"{ds.source} holds {ds.kind} samples of shape {ds.in_shape}, {run.path} reads {run.kind} of {run.in_shape}"
        )
