"""``hf:NAME``: a data set of the Hugging Face hub, or a local folder in one of its formats."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nervure.data.contents import Array, Contents, ranges
from nervure.data.pictures import OnCorrupt, Size, read_pictures
from nervure.data.series import narrowed
from nervure.data.splits import named_splits
from nervure.errors import InputError, MissingExtra

__all__ = ["read"]


def read(
    name: str,
    *,
    config: str | None = None,
    column: str | None = None,
    label: str | None = None,
    size: Size = None,
    on_corrupt: OnCorrupt = "refuse",
) -> Contents:
    """The contents of ``hf:NAME``: of its splits those for training, validation and test, or all where there are none.

    Parameters
    ----------
    name : str
        A data set of the hub, or a folder: one that ``save_to_disk`` wrote, or one in a format that ``datasets`` reads.
    config : str, optional
        Which configuration, where a data set has several.
    column : str, optional
        Which column holds the samples; without it the first of images, or the first of numbers.
    label : str, optional
        Which column holds the labels; without it the first of class labels, or ``label``, ``labels`` or ``target``.
    size : int or (int, int), optional
        Side, or height and width, that all images are brought to; without it they must have one size.
    on_corrupt : {"refuse", "skip"}
        What to do with an image that cannot be decoded.
    """
    where = f"hf:{name}"
    tables = _tables(name, config, where)
    first = next(iter(tables.values()))
    samples = column or _sample_column(first.features, where)
    labels = label or _label_column(first.features, samples)
    for wanted in filter(None, (samples, labels)):
        if wanted not in first.features:
            raise InputError(f"{where}: has no column {wanted!r}; its columns are {', '.join(first.features)}")
    if type(first.features[samples]).__name__ == "Image":
        x, kept = _images(tables, samples, size, on_corrupt, where)
        kind, layout = "image", "chw"
    else:
        x = np.concatenate([_numbers(table, samples, where) for table in tables.values()])
        kept, kind, layout = list(range(len(x))), None, None
    y = None
    if labels is not None:
        y = np.concatenate([np.asarray(table[labels][:]) for table in tables.values()])[kept]
    owners = np.repeat(list(tables), [len(table) for table in tables.values()])[kept]
    sizes = {split: int((owners == split).sum()) for split in tables}
    return Contents(
        x=x,
        y=y,
        kind=kind,  # type: ignore[arg-type]
        layout=layout,
        names=tuple(getattr(first.features[labels], "names", ())) if labels else (),
        splits=ranges(sizes),
        where=where,
    )


def _tables(name: str, config: str | None, where: str) -> dict[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hub", "reading hf: sources") from error
    path = Path(name)
    saved = path.is_dir() and any((path / file).exists() for file in ("dataset_dict.json", "dataset_info.json"))
    try:
        found = datasets.load_from_disk(name) if saved else datasets.load_dataset(name, config)
    except Exception as error:
        line = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise InputError(f"{where}: cannot be loaded ({line[0]})") from error
    if not isinstance(found, Mapping):
        return {"": found}
    splits = named_splits(map(str, found), where)
    if "train" not in splits:
        raise InputError(f"{where}: has no split named train; there are: {', '.join(map(str, found))}")
    return {split: found[called] for split, called in splits.items()}


def _sample_column(features: Mapping[str, Any], where: str) -> str:
    kinds = {key: type(feature).__name__ for key, feature in features.items()}
    for wanted in (("Image",), ("Array2D", "Array3D", "Array4D"), ("Sequence", "List", "LargeList", "list")):
        for key, kind in kinds.items():
            if kind in wanted:
                return key
    raise InputError(f"{where}: no column of images or numbers among {', '.join(kinds)}; give column=")


def _label_column(features: Mapping[str, Any], samples: str) -> str | None:
    for key, feature in features.items():
        if key != samples and type(feature).__name__ == "ClassLabel":
            return key
    return next((key for key in ("label", "labels", "target") if key in features and key != samples), None)


def _images(
    tables: Mapping[str, Any], column: str, size: Size, on_corrupt: OnCorrupt, where: str
) -> tuple[Array, list[int]]:
    import datasets

    opened = []
    names = []
    for split, table in tables.items():
        raw = table.cast_column(column, datasets.Image(decode=False))
        for number in range(len(raw)):
            opened.append(lambda raw=raw, number=number: _stream(raw[number][column]))
            names.append(f"{split or 'image'} {number}")
    return read_pictures(opened, names, size=size, on_corrupt=on_corrupt, where=where)


def _stream(cell: Mapping[str, Any]) -> Path | io.BytesIO:
    return io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else Path(cell["path"])


def _numbers(table: Any, column: str, where: str) -> Array:
    try:
        given = np.asarray(table.with_format("numpy")[:][column])
        return narrowed(given if given.dtype.kind in "fiu" else given.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: column {column!r} does not hold numbers of one shape ({error})") from error
