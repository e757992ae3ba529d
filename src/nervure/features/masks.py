"""Input masks: which part of each picture is foreground (spec majority-voting-pruning, 7).

A mask source is called with a batch and returns (n, height, width) bool, (n, time) for series and
(n, features) for tables. Its name goes into every report.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.features import segment
from nervure.registry import Table

__all__ = ["Border", "Given", "Gradient", "MaskSource", "Mean", "Otsu", "Polarity", "masks", "source_of"]

Polarity = Literal["inside", "bright", "dark"]


@runtime_checkable
class MaskSource(Protocol):
    """Gives the foreground of each example of a batch: (n, ...) bool at input resolution."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def __call__(self, batch: Batch) -> Tensor:
        """(n, height, width), (n, time) or (n, features) bool."""
        ...


masks: Table[Callable[[], MaskSource]] = Table(
    "input mask",
    {
        "otsu": ("nervure.features.masks:Otsu", "brightness, split where the parts differ most", "Otsu 1979"),
        "mean": ("nervure.features.masks:Mean", "brightness above the picture's mean", "arithmetic"),
        "gradient": ("nervure.features.masks:Gradient", "where brightness changes most", "image gradients"),
        "border": (
            "nervure.features.masks:Border",
            "colour unlike the picture's border",
            "own",
        ),
    },
    group="nervure.masks",
)


def source_of(given: str | MaskSource) -> MaskSource:
    """A mask source by name, or the one given.

    >>> source_of("otsu").name
    'otsu'
    """
    if isinstance(given, str):
        return masks.get(given)()
    return given


def _polarised(mask: Tensor, polarity: str) -> Tensor:
    if polarity == "inside":
        return segment.facing_inwards(mask)
    return mask if polarity == "bright" else ~mask


def _known(polarity: str) -> None:
    if polarity not in ("inside", "bright", "dark"):
        raise InputError(f"polarity = {polarity!r}; give inside, bright or dark")


@dataclass(frozen=True)
class Otsu:
    """Foreground by Otsu's threshold on the mean over channels.

    ``polarity`` says which part is foreground: the one that covers less than half of the border
    (``"inside"``), or the brighter or darker one.

    >>> x = torch.zeros(1, 1, 3, 3)
    >>> x[0, 0, 1, 1] = 1.0
    >>> Otsu()(Batch(1 - x, None, torch.zeros(1, dtype=torch.int64))).sum().item()
    1
    """

    polarity: Polarity = "inside"
    name: ClassVar[str] = "otsu"

    def __post_init__(self) -> None:
        _known(self.polarity)

    def __call__(self, batch: Batch) -> Tensor:  # noqa: D102
        values = segment.grey(batch.x)
        return _polarised(segment.above(values, segment.otsu(values)), self.polarity)


@dataclass(frozen=True)
class Mean:
    """Foreground by the picture's own mean; ``polarity`` as in :class:`Otsu`.

    >>> x = torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]]])
    >>> Mean()(Batch(x, None, torch.zeros(1, dtype=torch.int64))).sum().item()
    1
    """

    polarity: Polarity = "inside"
    name: ClassVar[str] = "mean"

    def __post_init__(self) -> None:
        _known(self.polarity)

    def __call__(self, batch: Batch) -> Tensor:  # noqa: D102
        values = segment.grey(batch.x)
        return _polarised(segment.above(values, values.flatten(1).mean(1)), self.polarity)


@dataclass(frozen=True)
class Gradient:
    """Foreground where the gradient of brightness exceeds Otsu's threshold of it: edges, not areas.

    >>> x = torch.tensor([[[[0.0, 0.0, 0.0, 9.0, 9.0, 9.0]]]]).expand(1, 1, 4, 6)
    >>> Gradient()(Batch(x, None, torch.zeros(1, dtype=torch.int64)))[0, 0].tolist()
    [False, False, True, True, False, False]
    """

    name: ClassVar[str] = "gradient"

    def __call__(self, batch: Batch) -> Tensor:  # noqa: D102
        slope = segment.gradient(segment.grey(batch.x))
        return segment.above(slope, segment.otsu(slope))


@dataclass(frozen=True)
class Border:
    """Foreground where a colour is far from the border's median colour, by Otsu's threshold of the distance.

    >>> x = torch.zeros(1, 3, 5, 5)
    >>> x[0, 2, 2, 2] = 1.0
    >>> Border()(Batch(x, None, torch.zeros(1, dtype=torch.int64))).sum().item()
    1
    """

    name: ClassVar[str] = "border"

    def __call__(self, batch: Batch) -> Tensor:  # noqa: D102
        far = segment.distance_to_border(batch.x)
        return segment.above(far, segment.otsu(far))


@dataclass(frozen=True, eq=False)
class Given:
    """Masks that the user has, or that made data come with: one for each sample of the data set, in order.

    Parameters
    ----------
    known : array
        (samples, ...) bool, 0 and 1, or grey levels of agreement, of which the upper half is foreground: from
        0.5 where no value of any mask exceeds 1, otherwise from 128 of 255.
    name : str
        Where they come from, for reports.

    Examples
    --------
    >>> given = Given(np.array([[0, 255], [200, 0]], dtype=np.uint8))
    >>> given(Batch(torch.zeros(1, 2), None, torch.tensor([1])))
    tensor([[ True, False]])
    """

    known: NDArray[np.generic]
    name: str = "given"

    def __post_init__(self) -> None:
        kind = np.asarray(self.known).dtype.kind
        if kind not in "buif":
            raise InputError(f"masks of type {np.asarray(self.known).dtype}; give bool or grey levels")

    @classmethod
    def from_file(cls, path: Path | str) -> Given:
        """Masks of a ``.npy`` file, or ``FILE.npz:NAME``.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/masks.npy", np.ones((2, 4, 4), bool))
        ...     Given.from_file(f"{folder}/masks.npy").known.shape
        (2, 4, 4)
        """
        file, _, member = str(path).partition(".npz:")
        try:
            if member:
                with np.load(f"{file}.npz", allow_pickle=False) as members:
                    return cls(members[member], str(path))
            return cls(np.load(path, allow_pickle=False), str(path))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: no masks there ({error}); give a .npy file or FILE.npz:NAME") from error

    def __call__(self, batch: Batch) -> Tensor:  # noqa: D102
        index = batch.index.cpu().numpy()
        if len(index) and int(index.max()) >= len(self.known):
            last = int(index.max())
            raise InputError(f"{self.name}: {len(self.known)} masks, but sample {last} is asked for")
        return torch.from_numpy(np.asarray(self.known)[index] >= self._level).to(batch.x.device)

    @functools.cached_property
    def _level(self) -> float:
        """Where the upper half begins; of all masks, because those of one batch may all be dark."""
        return 0.5 if np.fmax.reduce(self.known, axis=None, initial=0) <= 1 else 128
