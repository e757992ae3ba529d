"""Rows: what units gave for a few examples, kept as they are, for figures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Self

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.layout import steps
from nervure.observe.statistic import Statistic
from nervure.observe.summary import flat

__all__ = ["Lowest", "Rows"]


class Lowest:
    """Rows of the examples with the lowest indices, at most ``limit`` of them, whatever order they come in.

    >>> lowest = Lowest(2)
    >>> lowest.add(torch.tensor([5, 1, 3]), torch.tensor([[50.0], [10.0], [30.0]]))
    >>> lowest.index, lowest.rows
    (tensor([1, 3]), tensor([[10.],
            [30.]]))
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.index: Tensor | None = None
        self.rows: Tensor | None = None

    def wanted(self, index: Tensor) -> Tensor:
        """Positions in ``index`` (n,), on the CPU, of the examples that may still come in."""
        order = index.cpu().argsort(stable=True)[: self.limit]
        if self.index is None or len(self.index) < self.limit:
            return order
        return order[index.cpu()[order] < int(self.index[-1])]

    def add(self, index: Tensor, rows: Tensor) -> None:
        """Take in (n, ...) ``rows`` of the examples at ``index`` (n,)."""
        index, rows = index.cpu(), rows.detach().cpu()
        if self.index is not None and self.rows is not None:
            index, rows = torch.cat([self.index, index]), torch.cat([self.rows, rows])
        order = index.argsort(stable=True)[: self.limit]
        self.index, self.rows = index[order], rows[order]


class Rows(Statistic):
    """Mean over positions of each unit, for the ``limit`` examples with the lowest indices: (examples, units).

    Where a network folds time into the batch, the steps of an example are positions too.

    >>> rows = Rows(1)
    >>> rows.update(torch.tensor([[[1.0, 3.0]], [[9.0, 9.0]]]), None)
    >>> rows.result()
    tensor([[2.]])
    """

    def __init__(self, limit: int = 32) -> None:
        if limit < 1:
            raise InputError(f"limit = {limit}; give 1 or more")
        self.limit = limit
        self._kept = Lowest(limit)
        self._seen = 0

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("rows", self.limit)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        n = len(activation) if batch is None else len(batch.index)
        index = torch.arange(self._seen, self._seen + n) if batch is None else batch.index.cpu()
        self._seen += n
        activation = activation.unflatten(0, (n, steps(len(activation), n))).transpose(1, 2)
        at = self._kept.wanted(index)
        if len(at):
            values = flat(activation[at.to(activation.device)])
            self._kept.add(index[at], values.mean(2) if values.shape[2] > 1 else values[..., 0])

    def merge(self, other: Self) -> None:  # noqa: D102
        if other._kept.index is not None and other._kept.rows is not None:
            self._kept.add(other._kept.index, other._kept.rows)

    def result(self) -> Tensor:
        """(examples, units), in the order of their indices."""
        if self._kept.rows is None:
            raise self.nothing_seen()
        return self._kept.rows

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        if self._kept.index is None or self._kept.rows is None:
            return {}
        return {"index": self._kept.index, "rows": self._kept.rows, "seen": torch.tensor(self._seen)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        self._kept = Lowest(self.limit)
        self._seen = int(state["seen"]) if state else 0
        if state:
            self._kept.add(state["index"], state["rows"])

    def finite(self) -> bool:  # noqa: D102
        return self._kept.rows is None or bool(self._kept.rows.isfinite().all())
