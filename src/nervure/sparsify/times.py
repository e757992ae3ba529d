"""Times of layers, dense and by their edges: data that says where sparse kernels pay on one machine, and where not."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from nervure.errors import InputError, first_wrong
from nervure.evidence import Table
from nervure.train.runtime import processor

__all__ = ["SAME", "LayerTime", "TimeTable", "this_machine"]

SAME = 1e-5
"""How much a result may differ, relative to the largest value."""

# What is gained must be more than what one run differs from the next.
_WORTH = 0.95


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class LayerTime(_Data):
    """How long one layer takes, dense and by its edges.

    Parameters
    ----------
    layer : str
        Its name.
    shape : (int, int)
        Outputs and inputs.
    zeros : float
        The share of its edges that are zero.
    vectors : int
        How many vectors it maps in one call: samples, times positions.
    dense, sparse : float, optional
        Medians in seconds; None if it was not timed, and ``why`` says why.
    ratio : float, optional
        The median over rounds of the sparse time by the dense one.
    difference : float, optional
        The largest difference of the results, relative to the largest value.
    why : str
        Why it was not timed, or cannot be used.
    """

    layer: str
    shape: tuple[int, int]
    zeros: float
    vectors: int = 0
    dense: float | None = None
    sparse: float | None = None
    ratio: float | None = None
    difference: float | None = None
    why: str = ""

    @property
    def pays(self) -> bool:
        """Whether the sparse kernel is faster by a twentieth or more, and right to 1e-5."""
        return self.ratio is not None and self.ratio <= _WORTH and not self.why

    @property
    def verdict(self) -> str:
        """In words, for people."""
        if self.pays and self.ratio is not None:
            return f"sparse: {1 / self.ratio:.1f} times as fast"
        if self.ratio is not None and not self.why:
            return f"does not pay: takes {self.ratio:.2f} times the dense time"
        return f"dense: {self.why}"


class TimeTable(_Data):
    """What was measured, and where: it holds for this machine, number of threads and batch alone.

    >>> row = LayerTime(layer="fc", shape=(10, 20), zeros=0.9, vectors=1, dense=2e-5, sparse=3e-5, ratio=1.5)
    >>> table = TimeTable(rows=(row,), machine="cpu", threads=1, batch=1, runs=30)
    >>> TimeTable.model_validate_json(table.model_dump_json()) == table, row.verdict
    (True, 'does not pay: takes 1.50 times the dense time')
    """

    rows: tuple[LayerTime, ...]
    machine: str
    threads: int
    batch: int
    runs: int

    @property
    def pays(self) -> tuple[str, ...]:
        """The layers that are faster sparse."""
        return tuple(row.layer for row in self.rows if row.pays)

    @property
    def evidence(self) -> Table:
        """A row a layer, with what was measured and what follows from it."""
        loses = [row.layer for row in self.rows if not row.pays]
        wins = f"Sparse kernels pay in {', '.join(self.pays)}" if self.pays else "Sparse kernels pay in no layer"
        rest = f"; they do not in {', '.join(loses)}" if loses and self.pays else ""
        rows = [
            (
                row.layer, f"{row.shape[0]}x{row.shape[1]}", row.zeros, row.vectors or None,
                None if row.dense is None else 1e6 * row.dense, None if row.sparse is None else 1e6 * row.sparse,
                row.ratio, row.verdict,
            )
            for row in self.rows
        ]  # fmt: skip
        return Table(
            title="Where sparse kernels pay",
            alt=f"{wins}{rest} (batch {self.batch}, threads {self.threads}, {self.machine}).",
            columns=("layer", "shape", "zeros", "vectors", "dense µs", "sparse µs", "ratio", "verdict"),
            rows=rows,
        )

    def save(self, path: Path | str) -> None:
        """Write it as JSON, whole or not at all."""
        from nervure.store.atomic import write_json

        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path | str) -> TimeTable:
        """Read what :meth:`save` wrote; another file is refused."""
        try:
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except ValidationError as error:
            raise InputError(f"{path}: not a table of times ({first_wrong(error)})") from error
        except ValueError as error:
            raise InputError(f"{path}: not a table of times ({error})") from error


def this_machine(device: torch.device | str = "cpu") -> str:
    """The processor and the version of PyTorch, in words.

    >>> this_machine() == this_machine("cpu")
    True
    """
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{processor()}, torch {torch.__version__}"
