"""Dataset: samples as stored, their labels, their splits, and how they become what a network reads."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nervure.data.stretch import stretch
from nervure.errors import InputError

__all__ = ["Batch", "Dataset", "Each", "Indices", "Kind", "Preprocessing", "Task", "hash_arrays", "positions"]

Indices = NDArray[np.int64]
Kind = Literal["image", "series", "table"]
Task = Literal["classification", "regression", "clustering", "none"]
"""What is asked: ``clustering`` is a network's task alone; data has the others."""
Each = Literal["", "min-max"]

WIDE = (torch.float64, torch.int64, torch.int32, torch.uint64, torch.uint32)
"""Number types whose values float32 cannot tell apart where they are large."""


class Batch(NamedTuple):
    """What a network is trained on at one step.

    ``x`` is (n, ...) float32; ``y`` (n,) int64 classes, -1 where unknown, or (n, ...) float32 targets,
    or None; ``index`` (n,) int64 positions in the whole data set; ``mask`` (n, time) bool, True where a
    series has values, or None; ``copy`` (n, ...) the same samples, transformed at random, or None.

    >>> Batch(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([5, 9])).to("cpu").index.tolist()
    [5, 9]
    """

    x: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]
    mask: Tensor | None = None
    copy: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return Batch(*(None if part is None else part.to(device, non_blocking=True) for part in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Preprocessing:
    """From stored values to network input: ``(x * scale - mean) / std``, channel by channel.

    Travels with a network into its run and its exported files. ``mean`` and ``std`` are measured on the
    training split, never on validation or test.

    Parameters
    ----------
    scale : float
        What stored values are multiplied by.
    mean, std : tuple of float
        One of each a channel, or none. For a range of the training split these are its lower end and its width.
    each : {"", "min-max"}
        ``"min-max"`` then brings every sample to the range from 0 to 1 by itself, over all its channels and places
        jointly; a sample that does not vary becomes zeros. It comes before ``mean`` and ``std``.
    clip : bool
        Whether the result is kept within 0 to 1.

    Examples
    --------
    >>> Preprocessing(scale=0.5, mean=(1.0,), std=(2.0,))(torch.tensor([[[[6.0]]]]))
    tensor([[[[1.]]]])
    >>> Preprocessing(each="min-max")(torch.tensor([[3.0, 5.0]]))
    tensor([[0., 1.]])
    """

    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    each: Each = ""
    clip: bool = False

    def __post_init__(self) -> None:
        if self.each not in get_args(Each):
            raise InputError(f"preprocessing: each = {self.each!r}; give '' or 'min-max'")

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Apply to (n, channels, ...) values of any number type; the result is float32.

        Types that float32 cannot hold are brought to it last, so that a large offset costs no precision. Steps outside
        ``mask`` (n, time) do not count, and are 0 in the result.
        """
        x = x.to(torch.float64 if x.dtype in WIDE else torch.float32)
        if self.scale != 1.0:
            x = x * self.scale
        if self.each:
            x = stretch(x, mask)
        if self.mean:
            shape = (1, -1) + (1,) * (x.ndim - 2)
            x = (x - x.new_tensor(self.mean).view(shape)) / x.new_tensor(self.std).view(shape)
        if self.clip:
            x = x.clamp(0, 1)
        x = x.to(torch.float32)
        return x if mask is None else x * mask[:, None]

    def invert(self, x: Tensor) -> Tensor:
        """From network input back to stored values, as float32: for pictures of what a network saw.

        What was cut off by ``clip`` stays cut off. After ``each="min-max"`` the range of each sample is no longer
        known: the result then reaches from 0 to ``1 / scale``, which is the picture at full contrast.
        """
        if self.mean:
            shape = (1, -1) + (1,) * (x.ndim - 2)
            x = x * x.new_tensor(self.std).view(shape) + x.new_tensor(self.mean).view(shape)
        return x / self.scale

    def to_json(self) -> dict[str, object]:
        """As plain JSON data; ``each`` and ``clip`` only where they are used."""
        further = {"each": self.each, "clip": self.clip}
        plain: dict[str, object] = {"scale": self.scale, "mean": list(self.mean), "std": list(self.std)}
        return plain | {name: value for name, value in further.items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Preprocessing:
        """From what :meth:`to_json` gave; data of another shape is refused."""
        each, clip = data.get("each", ""), bool(data.get("clip", False))
        try:
            mean, std = (tuple(float(one) for one in data[name]) for name in ("mean", "std"))  # type: ignore[attr-defined]
            return cls(float(data["scale"]), mean, std, each, clip)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a preprocessing: {type(error).__name__} {error}") from error


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with all that is known of them.

    Parameters
    ----------
    x : array
        (n, channels, height, width) images, (n, channels, time) series or (n, features) tables, as stored:
        any number type, possibly memory-mapped. Padded time steps of series hold 0.
    y : array, optional
        (n,) int64 classes with -1 for unknown, or (n,) / (n, ...) float32 targets.
    kind, task : str
        What a sample is, and what is asked of it.
    names : sequence of str
        Class names; empty unless the task is classification.
    splits : mapping of str to array
        ``"train"``, ``"validation"`` and ``"test"`` (each may be absent), as positions in ``x``.
    mask : array, optional
        (n, time) bool, True where a series has values; None when all series are whole.
    preprocessing : Preprocessing
        From stored values to network input.
    source : str
        What :func:`nervure.data.load` was given, so that a run can find its data again.
    options : mapping
        The further options it was given.
    fingerprint : str
        A digest of values, labels and splits.
    items : sequence of str
        What each sample is called in the source, such as a picture's file name; empty if nothing.
    columns : sequence of str
        What each channel, or each feature of a table, is called in the source; empty if nothing.

    Examples
    --------
    >>> ds = Dataset(np.eye(3, dtype=np.float32), np.array([0, 1, 0]), "table", "classification", ("a", "b"))
    >>> ds.in_shape, ds.classes, ds.batch([2, 0]).x.tolist()
    ((3,), 2, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    x: NDArray[np.generic]
    y: NDArray[np.generic] | None
    kind: Kind
    task: Task
    names: tuple[str, ...] = ()
    splits: Mapping[str, Indices] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    source: str = "arrays"
    options: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str = ""
    items: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one sample, as a network reads it."""
        return tuple(self.x.shape[1:])

    @property
    def classes(self) -> int:
        """Number of outputs that the task asks for: classes, or targets of a regression; 0 without a task."""
        if self.task == "classification":
            return len(self.names)
        if self.task == "regression" and self.y is not None:
            return int(np.prod(self.y.shape[1:])) if self.y.ndim > 1 else 1
        return 0

    def indices(self, split: str | None = None) -> Indices:
        """Positions of a split; all samples for None."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        try:
            return self.splits[split]
        except KeyError:
            there = ", ".join(self.splits) or "none"
            raise InputError(f"{self.source}: no split named {split!r}; there are: {there}") from None

    def batch(self, indices: Sequence[int] | Indices | NDArray[np.bool_]) -> Batch:
        """The samples at ``indices``, positions or truth values of all, as network input, in that order."""
        at = self._at(indices)
        y = None if self.y is None else torch.from_numpy(np.ascontiguousarray(self.y[at]))
        mask = None if self.mask is None else torch.from_numpy(np.ascontiguousarray(self.mask[at]))
        return Batch(self.preprocessing(self.raw(at), mask), y, torch.from_numpy(at), mask)

    def raw(self, indices: Sequence[int] | Indices | NDArray[np.bool_]) -> Tensor:
        """The samples at ``indices`` as they are stored, before preprocessing, as torch holds them.

        >>> from nervure import data
        >>> data.load("digits").raw([0, 1]).shape
        torch.Size([2, 1, 8, 8])
        """
        native = self.x.dtype.newbyteorder("=")  # torch holds no other order of bytes
        return torch.from_numpy(np.ascontiguousarray(self.x[self._at(indices)], dtype=native))

    def _at(self, indices: ArrayLike) -> Indices:
        return positions(indices, len(self), f"{self.source}: indices")

    def called(self, place: int) -> str:
        """What a sample is called: its file, if it has one.

        >>> from nervure import data
        >>> data.load("digits").called(3)
        'sample 3'
        """
        return self.items[place] if self.items else f"sample {place}"

    def column(self, place: int) -> str:
        """What a feature of a table, or a channel (a variate of series), is called.

        >>> from nervure import data
        >>> data.from_arrays(np.eye(2), columns=["age", "height"]).column(1), data.from_arrays(np.eye(2)).column(1)
        ('height', 'feature 1')
        """
        word = {"table": "feature", "series": "variate", "image": "channel"}[self.kind]
        return self.columns[place] if self.columns else f"{word} {place}"

    def subset(self, indices: Sequence[int] | Indices | NDArray[np.bool_]) -> Dataset:
        """A data set of the samples at ``indices``, with splits renumbered; its fingerprint is derived.

        >>> from nervure import data
        >>> ds = data.load("digits")
        >>> len(ds.subset([4, 7])), len(ds.subset(ds.y == 3))
        (2, 183)
        """
        at = self._at(indices)
        place = np.full(len(self), -1, dtype=np.int64)
        place[at] = np.arange(len(at))
        splits = {name: place[where][place[where] >= 0] for name, where in self.splits.items()}
        digest = hash_arrays(np.frombuffer(self.fingerprint.encode(), dtype=np.uint8), at)
        return dataclasses.replace(
            self,
            x=self.x[at],
            y=None if self.y is None else self.y[at],
            mask=None if self.mask is None else self.mask[at],
            splits=splits,
            fingerprint=digest,
            items=tuple(self.items[place] for place in at) if self.items else (),
        )


def positions(at: ArrayLike, n: int, what: str) -> Indices:
    """Positions as they are, or those at which an array of ``n`` truth values is True.

    >>> positions([2, 0], 3, "these").tolist(), positions([True, False, True], 3, "these").tolist()
    ([2, 0], [0, 2])
    """
    found = np.asarray(at)
    if found.dtype == bool and found.shape == (n,):
        return np.flatnonzero(found)
    if found.ndim == 1 and found.dtype == object:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            whole = found.astype(np.int64)
            found = whole if (whole == found).all() else found
    if found.ndim != 1 or (found.size and found.dtype.kind not in "ui"):
        raise InputError(f"{what} must be positions of samples, or {n} truth values")
    return found.astype(np.int64, copy=False)


def hash_arrays(*arrays: NDArray[np.generic] | None) -> str:
    """SHA-256 of shapes, number types and values; None counts as itself.

    >>> two = hash_arrays(np.zeros(2))
    >>> two == hash_arrays(np.zeros(2)), two == hash_arrays(np.zeros(3))
    (True, False)
    """
    import hashlib

    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        rows = max(1, (1 << 24) // max(1, array.nbytes // max(1, len(array)))) if array.ndim else 1
        for start in range(0, len(array) if array.ndim else 1, rows):
            digest.update(np.ascontiguousarray(array[start : start + rows] if array.ndim else array).tobytes())
    return digest.hexdigest()
