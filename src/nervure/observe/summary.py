"""Summary: one reading of an activation from which many statistics are drawn; Reading: such a statistic."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError, MissingExtra
from nervure.observe import plain
from nervure.observe.grid import Grid
from nervure.observe.statistic import Statistic
from nervure.observe.totals import Totals, joined

__all__ = ["Reading", "Summary", "flat"]


@functools.cache
def _numba_installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def flat(activation: Tensor) -> Tensor:
    """(n, units, ...) of any real type as contiguous (n, units, positions) float32 or float64.

    >>> flat(torch.zeros(2, 3, 4, 5)).shape, flat(torch.zeros(2, 3, dtype=torch.int64)).dtype
    (torch.Size([2, 3, 20]), torch.float64)
    """
    if activation.dtype == torch.int64 or activation.dtype == torch.int32:
        activation = activation.to(torch.float64)
    elif activation.dtype != torch.float64:
        activation = activation.to(torch.float32)
    return activation.detach().reshape(*activation.shape[:2], math.prod(activation.shape[2:])).contiguous()


class Summary(Statistic):
    """Totals and a histogram of each unit, from one reading of each activation.

    Parameters
    ----------
    bins : int
        Bins of the histogram; 0 for none. Statistics that ask for fewer read a coarser one from it, exactly.
    compiled : bool, optional
        Whether to use compiled kernels (extra ``fast``): None where they are installed and the activation
        is on the CPU. The plain form gives equal counts, and sums to 1e-12 of the sum of magnitudes.

    >>> summary = Summary(bins=4)
    >>> summary.update(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), None)
    >>> summary.totals.total, summary.totals.zeros
    (tensor([2., 2.], dtype=torch.float64), tensor([1, 0]))
    """

    def __init__(self, bins: int = 0, *, compiled: bool | None = None) -> None:
        if compiled and not _numba_installed():
            raise MissingExtra("numba", "fast", "a compiled kernel")
        self.bins = bins
        self.compiled = compiled
        self.totals: Totals | None = None
        self.grid: Grid | None = None
        self.means: Tensor | None = None

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("summary", self.bins)

    def update(
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        """Take in ``activation``; afterwards ``means`` holds its (n, units) means over positions."""
        values = flat(activation)
        if not values.numel():
            self.means = values.new_zeros(*values.shape[:2], dtype=torch.float32)
            return
        units = values.shape[1]
        if self.totals is not None and len(self.totals.total) != units:
            raise InputError(f"{units} units now and {len(self.totals.total)} before; a unit axis must not change")
        self._move(values.device)
        if self.grid is None and self.bins:
            self.grid = Grid.empty(units, self.bins, values.device)
        totals, self.means = self._summarise(values)
        self.totals = totals if self.totals is None else joined(self.totals, totals)

    def _move(self, device: torch.device) -> None:
        """What was loaded or merged may lie elsewhere than what comes next."""
        self.totals = None if self.totals is None else self.totals.to(device)
        self.grid = None if self.grid is None else self.grid.to(device)

    def _summarise(self, values: Tensor) -> tuple[Totals, Tensor]:
        if self.compiled is not False and _numba_installed():
            from nervure.observe import kernels

            if kernels.usable(values):
                return kernels.summarise(values, self.grid)
        return plain.summarise(values, self.grid)

    def merge(self, other: Self) -> None:  # noqa: D102
        if other.totals is None:
            return
        self._move(other.totals.total.device)
        self.totals = other.totals if self.totals is None else joined(self.totals, other.totals)
        if other.grid is not None:
            if self.grid is None:
                self.grid = Grid.empty(len(other.grid.counts), self.bins, other.grid.counts.device)
            self.grid.merge(other.grid)

    def result(self) -> Totals:
        """The totals."""
        if self.totals is None:
            raise self.nothing_seen()
        return self.totals

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        if self.totals is None:
            return {}
        state = {field.name: torch.as_tensor(getattr(self.totals, field.name)).cpu() for field in fields(Totals)}
        if self.grid is not None:
            names = ("exponent", "first", "counts")
            state |= {name: getattr(self.grid, name).cpu() for name in names}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        self.totals = self.grid = self.means = None
        if not state:
            return
        values: dict[str, Any] = {field.name: state[field.name] for field in fields(Totals)}
        values |= {name: int(values[name]) for name in ("examples", "count")}
        self.totals = Totals(**values)
        if "counts" in state:
            names = ("low", "high", "exponent", "first", "counts")
            self.grid = Grid(*(state[name].clone() for name in names))

    def finite(self) -> bool:  # noqa: D102
        return self.totals is None or bool(self.totals.squares.isfinite().all())

    def trimmed(self, bins: int) -> Summary:
        """An independent copy with as many or fewer bins: as if it had been asked for so from the start."""
        twin = Summary(bins, compiled=self.compiled)
        twin.totals = self.totals
        if self.grid is not None and bins:
            twin.grid = self.grid.coarse(bins)
        return twin


class Reading(Statistic):
    """A statistic that is read from a :class:`Summary`; those at one site share it during a pass.

    A subclass says how many histogram ``bins`` it needs (0 for none) and writes :meth:`result`.
    """

    bins: int = 0
    _source: Summary | None = None
    _shared: bool = False

    def share(self, source: Summary) -> None:
        """Read from ``source``, which others read too; it is copied before this one changes it."""
        self._source, self._shared = source, True

    @property
    def source(self) -> Summary:
        """The summary to read from."""
        if self._source is None:
            self._source = Summary(self.bins)
        return self._source

    def _own(self) -> Summary:
        if self._shared:
            self._source, self._shared = self.source.trimmed(self.bins), False
        return self.source

    def totals(self) -> Totals:
        """What the summary holds, on the CPU; an error before the first batch."""
        totals = self.source.totals
        if totals is None:
            raise self.nothing_seen()
        return totals.to("cpu")

    def grid(self) -> Grid:
        """The histogram on this statistic's own bins, on the CPU."""
        grid = self.source.grid
        if grid is None:
            raise self.nothing_seen()
        return grid.coarse(self.bins).to("cpu")

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        self._own().update(activation, batch)

    def merge(self, other: Self) -> None:  # noqa: D102
        self._own().merge(other.source.trimmed(self.bins))

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        return self.source.trimmed(self.bins).state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        self._source, self._shared = Summary(self.bins), False
        self._source.load_state(state)

    def finite(self) -> bool:  # noqa: D102
        return self.source.finite()
