"""Figures as data: what a decision was based on, kept before anyone draws it.

Each kind is a frozen value with a title, an alternative text for readers who cannot see it, and plain
arrays. ``report`` draws them; ``save`` and ``load`` keep one figure a file, without pickle. A figure
of a kind that this module does not define is a :class:`Figure` with its own ``kind`` and ``data``.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nervure.errors import InputError

__all__ = [
    "Array",
    "Bars",
    "Curve",
    "Figure",
    "Flow",
    "Images",
    "Matrix",
    "Scatter",
    "Table",
    "load",
    "save",
]

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False, kw_only=True)
class Figure:
    """The base of all kinds, and the shape of a kind that an outside package draws.

    Parameters
    ----------
    title : str
        What is shown.
    alt : str
        What a reader who cannot see the figure must know.
    kind : str
        The name under which ``report.figures`` finds the function that draws it.
    data : mapping of str to array
        The figure's arrays; empty for the kinds below, which have named fields.
    notes : mapping of str to str
        Labels and remarks of an outside kind.

    Examples
    --------
    >>> rose = Figure(title="wind", alt="mostly west", kind="rose", data={"speed": [1.0, 2.0]})
    >>> rose.data["speed"].sum()
    np.float64(3.0)
    """

    title: str
    alt: str
    kind: str = ""
    data: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if type(self) is not Figure:
            object.__setattr__(self, "kind", type(self).name)
        object.__setattr__(self, "data", {str(key): np.asarray(value) for key, value in self.data.items()})
        object.__setattr__(self, "notes", {str(key): str(text) for key, text in self.notes.items()})
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if one.metadata.get("array") and value is not None:
                object.__setattr__(self, one.name, np.asarray(value))
            elif one.metadata.get("words"):
                object.__setattr__(self, one.name, tuple(str(word) for word in value))


_ARRAY = {"array": True}
_WORDS = {"words": True}


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Figure):
    """Lines over a common axis: ``y`` is (lines, points), ``x`` (points,), ``spread`` like ``y``.

    ``marks`` (m,) are places on the axis to point at, each under its label, or without one a mere division.

    >>> Curve(title="loss", alt="falls", x=np.arange(2), y=np.ones((1, 2)), labels=["train"]).y.shape
    (1, 2)
    """

    name: ClassVar[str] = "curve"
    x: Array = field(metadata=_ARRAY)
    y: Array = field(metadata=_ARRAY)
    spread: Array | None = field(default=None, metadata=_ARRAY)
    labels: Sequence[str] = field(default=(), metadata=_WORDS)
    marks: Array | None = field(default=None, metadata=_ARRAY)
    mark_labels: Sequence[str] = field(default=(), metadata=_WORDS)
    x_label: str = ""
    y_label: str = ""
    log_y: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Matrix(Figure):
    """A matrix of numbers with names for its rows and columns; counts print as whole numbers.

    >>> Matrix(title="confusion", alt="diagonal", values=np.eye(2), rows=["a", "b"], counts=True).rows
    ('a', 'b')
    """

    name: ClassVar[str] = "matrix"
    values: Array = field(metadata=_ARRAY)
    rows: Sequence[str] = field(default=(), metadata=_WORDS)
    columns: Sequence[str] = field(default=(), metadata=_WORDS)
    x_label: str = ""
    y_label: str = ""
    counts: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Bars(Figure):
    """Bars: ``values`` is (series, bars); ``spread`` likewise; ``bars`` and ``series`` name them.

    Bars of one row may be of several kinds: ``groups`` (bars,) numbers into ``series``.

    >>> Bars(title="recall", alt="even", values=[[0.9, 0.8]], bars=["cat", "dog"]).values.shape
    (1, 2)
    """

    name: ClassVar[str] = "bars"
    values: Array = field(metadata=_ARRAY)
    spread: Array | None = field(default=None, metadata=_ARRAY)
    groups: Array | None = field(default=None, metadata=_ARRAY)
    bars: Sequence[str] = field(default=(), metadata=_WORDS)
    series: Sequence[str] = field(default=(), metadata=_WORDS)
    y_label: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scatter(Figure):
    """Points: ``points`` is (n, 2); ``groups`` (n,) numbers into ``labels``; ``thumbnails`` (n, c, h, w) u8.

    A group of -1 is unknown. ``hover`` has a text a point; ``joined`` (m,) are places of points that a line joins in
    this order, such as those that no other beats.

    >>> Scatter(title="latent", alt="two groups", points=np.zeros((3, 2)), groups=[0, 0, 1]).kind
    'scatter'
    """

    name: ClassVar[str] = "scatter"
    points: Array = field(metadata=_ARRAY)
    groups: Array | None = field(default=None, metadata=_ARRAY)
    thumbnails: Array | None = field(default=None, metadata=_ARRAY)
    labels: Sequence[str] = field(default=(), metadata=_WORDS)
    hover: Sequence[str] = field(default=(), metadata=_WORDS)
    joined: Array | None = field(default=None, metadata=_ARRAY)
    x_label: str = ""
    y_label: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Images(Figure):
    """A grid of pictures: ``pictures`` is (n, c, h, w) u8, one or three channels; ``columns`` wide.

    ``framed`` (n,) marks the ones to look at, as those that were mistaken.

    >>> Images(title="samples", alt="digits", pictures=np.zeros((2, 1, 8, 8), np.uint8)).columns
    8
    """

    name: ClassVar[str] = "images"
    pictures: Array = field(metadata=_ARRAY)
    captions: Sequence[str] = field(default=(), metadata=_WORDS)
    columns: int = 8
    framed: Array | None = field(default=None, metadata=_ARRAY)


@dataclass(frozen=True, eq=False, kw_only=True)
class Table(Figure):
    """Rows of cells under column names; numbers stay numbers until they are drawn.

    >>> Table(title="cost", alt="one layer", columns=["layer", "MACs"], rows=[["conv1", np.int64(9)]]).rows
    (('conv1', 9),)
    """

    name: ClassVar[str] = "table"
    columns: Sequence[str] = field(default=(), metadata=_WORDS)
    rows: Sequence[Sequence[str | int | float | None]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rows", tuple(tuple(map(_plain, row)) for row in self.rows))


@dataclass(frozen=True, eq=False, kw_only=True)
class Flow(Figure):
    """Widths before and after along a chain of layers, or any sequence of named steps with a size each.

    >>> Flow(title="widths", alt="halved", steps=["conv1"], before=[64], after=[32]).after
    array([32])
    """

    name: ClassVar[str] = "flow"
    steps: Sequence[str] = field(default=(), metadata=_WORDS)
    before: Array = field(metadata=_ARRAY)
    after: Array | None = field(default=None, metadata=_ARRAY)
    y_label: str = ""


_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    RecursionError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy, zip and JSON raise over a file that is cut short, edited, or something else."""

MOST = 1 << 29
"""Bytes that the arrays of one figure may have: a small file can hold many more zeros."""

_KINDS: dict[str, type[Figure]] = {kind.name: kind for kind in (Curve, Matrix, Bars, Scatter, Images, Table, Flow)}


def save(path: Path | str, figure: Figure) -> None:
    """Write one figure as ``.npz``: its arrays, and the rest as JSON beside them.

    The file opens with ``numpy.load`` alone. The caller makes the write atomic. Arrays of Python objects
    are refused, since they would need pickle.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Path(folder) / "a.npz", Flow(title="widths", alt="", steps=["conv1"], before=[64]))
    ...     load(Path(folder) / "a.npz").before
    array([64])
    """
    arrays: dict[str, Array] = {f"data.{key}": np.asarray(value) for key, value in figure.data.items()}
    plain: dict[str, object] = {}
    for one in dataclasses.fields(figure):
        value = getattr(figure, one.name)
        if one.metadata.get("array"):
            if value is not None:
                arrays[one.name] = value
        elif one.name != "data":
            plain[one.name] = dict(value) if isinstance(value, Mapping) else value
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise InputError(f"figure {figure.title!r}: {name} holds Python objects; give numbers or text")
    header = np.asarray(json.dumps(plain, allow_nan=True, default=_plain))
    if sum(array.nbytes for array in (header, *arrays.values())) > MOST:
        raise InputError(f"figure {figure.title!r}: its arrays are larger than {MOST >> 20} MiB; show fewer samples")
    with open(path, "wb") as file:
        np.savez_compressed(file, figure=header, **arrays)  # type: ignore[arg-type]


def load(path: Path | str) -> Figure:
    """Read a figure that :func:`save` wrote; a truncated or edited file is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST:
                raise ValueError(f"its arrays are larger than {MOST >> 20} MiB")
        with np.load(path, allow_pickle=False) as file:
            plain = json.loads(str(file["figure"]))
            arrays = {key: file[key] for key in file.files if key != "figure"}
        kind = plain.pop("kind")
        data = {key.removeprefix("data."): arrays.pop(key) for key in list(arrays) if key.startswith("data.")}
        if kind in _KINDS:
            return _KINDS[kind](**plain, **arrays, data=data)
        return Figure(kind=str(kind), **plain, **arrays, data=data)
    except _BROKEN as error:
        raise InputError(f"{path}: not a figure that Nervure wrote ({error})") from error


def _plain(value: object) -> str | int | float | None:
    """One cell or setting without numpy's own types."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, str | int | float) else str(value)
