"""What a data set is, as evidence: a table, samples, and how many there are of each class."""

from __future__ import annotations

import numpy as np

from nervure.data.contents import Array, chunks
from nervure.data.dataset import Dataset, Indices
from nervure.evidence import Bars, Curve, Figure, Images, Table

__all__ = ["describe"]

SAMPLES = 4096
CLASSES = 12
COLUMNS = 8


def describe(ds: Dataset, *, each: int = 8) -> tuple[Figure, ...]:
    """Figures of a data set: its table, samples of each class, and class counts by split.

    Parameters
    ----------
    ds : Dataset
        The data.
    each : int
        Pictures of each class.

    Examples
    --------
    >>> from nervure.data import load
    >>> [figure.kind for figure in describe(load("digits"))]
    ['table', 'images', 'bars']
    """
    figures: list[Figure] = [_table(ds)]
    if ds.kind == "image":
        figures.append(_images(ds, each))
    elif ds.kind == "series":
        figures.append(_curves(ds))
    if ds.task == "classification":
        figures.append(_bars(ds))
    return tuple(figures)


def _table(ds: Dataset) -> Table:
    at = _regular(len(ds), SAMPLES)
    low, high = _range(ds, at)
    unknown = int((np.asarray(ds.y) < 0).sum()) if ds.task == "classification" and ds.y is not None else 0
    missing = 0.0 if ds.mask is None else float(1 - ds.mask.mean())
    of = "" if len(at) == len(ds) else f" (of {len(at)} samples)"
    rows: list[tuple[str, str | int | float | None]] = [
        ("source", ds.source),
        ("kind", ds.kind),
        ("task", ds.task),
        ("samples", len(ds)),
        ("shape of a sample", " x ".join(map(str, ds.in_shape))),
        *([("columns", _few(ds.columns))] if ds.columns else []),
        ("stored as", str(ds.x.dtype)),
        ("classes" if ds.task == "classification" else "targets", ds.classes),
        *((f"in {name}", len(where)) for name, where in ds.splits.items()),
        (f"smallest value{of}", low),
        (f"largest value{of}", high),
        *([("missing time steps", f"{missing:.1%}" if missing else "none")] if ds.kind == "series" else []),
        ("unknown labels", unknown),
        ("fingerprint", ds.fingerprint[:12]),
    ]
    what = f"{len(ds)} samples of {rows[4][1]}, {ds.kind}, task {ds.task}, values {low:g} to {high:g}"
    return Table(title="The data", alt=what, columns=("property", "value"), rows=rows)


def _few(names: tuple[str, ...]) -> str:
    """Names in a line; of many the first and the last."""
    return ", ".join(names if len(names) <= COLUMNS else (*names[: COLUMNS - 1], "...", names[-1]))


def _regular(n: int, most: int) -> Indices:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _range(ds: Dataset, at: Indices) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for rows, piece in chunks(ds.x, at):
        values: Array = piece if ds.mask is None else np.moveaxis(piece, 1, 0)[:, ds.mask[rows]]
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _of_classes(ds: Dataset, each: int) -> tuple[list[int], list[str]]:
    """Positions of the first training samples of each class, and what each is called; of no class, the first ones."""
    train = ds.indices("train" if "train" in ds.splits else None)
    found: list[int] = []
    if ds.task == "classification" and ds.y is not None:
        labels = ds.y[train]
        for number in range(min(CLASSES, ds.classes)):
            found += train[np.flatnonzero(labels == number)[:each]].tolist()
        if found:
            return found, [ds.names[int(ds.y[number])] for number in found]
    found = train[: 4 * each].tolist()
    return found, [ds.called(number) for number in found]


def _images(ds: Dataset, each: int) -> Images:
    at, captions = _of_classes(ds, each)
    values = np.asarray(ds.x[np.array(at)], dtype=np.float64)
    values = values if ds.in_shape[0] in (1, 3) else values[:, :1]
    if ds.preprocessing.scale != 1:
        values = values * ds.preprocessing.scale
    else:
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
    shown = "the first of each class" if ds.task == "classification" else "the first ones"
    return Images(
        title="Samples",
        alt=f"{len(at)} training images, {shown}: {', '.join(dict.fromkeys(captions))}",
        pictures=(values.clip(0, 1) * 255).round().astype(np.uint8),
        captions=captions,
        columns=each,
    )


def _curves(ds: Dataset) -> Curve:
    at, labels = _of_classes(ds, 1)
    lines = np.asarray(ds.x[np.array(at)][:, 0], dtype=np.float64)
    if ds.mask is not None:
        lines = np.where(ds.mask[at], lines, np.nan)
    called = f"{ds.columns[0]}, " if ds.columns else ""
    where = "" if ds.in_shape[0] == 1 else f", {called}first of {ds.in_shape[0]} channels"
    return Curve(
        title=f"Samples{where}",
        alt=f"{len(at)} training series{where}: {', '.join(labels)}",
        x=np.arange(ds.in_shape[-1]),
        y=lines,
        labels=labels,
        x_label="time step",
        y_label="stored value",
    )


def _bars(ds: Dataset) -> Bars:
    assert ds.y is not None
    labels = [ds.y[at].astype(np.int64) for at in ds.splits.values()]
    counts = np.stack([np.bincount(some[some >= 0], minlength=ds.classes) for some in labels])
    total = counts.sum(axis=0)
    rare, common = int(total.argmin()), int(total.argmax())
    return Bars(
        title="Samples of each class",
        alt=f"from {total[rare]} ({ds.names[rare]}) to {total[common]} ({ds.names[common]})",
        values=counts,
        bars=ds.names,
        series=tuple(ds.splits),
        y_label="samples",
    )
