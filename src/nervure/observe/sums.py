"""Sums: a statistic whose whole state adds up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.observe.statistic import Statistic

__all__ = ["Sums"]


class Sums(Statistic):
    """Named tensors that add up over batches, shards and ranks; a subclass writes key, update and result.

    Integer tensors merge exactly, float64 ones to 1e-12. A subclass calls :meth:`add` with new tensors.

    >>> class Examples(Sums):
    ...     key = "examples"
    ...
    ...     def update(self, activation, batch, gradient=None, incoming=None):
    ...         self.add(examples=torch.tensor(len(activation)))
    ...
    ...     def result(self):
    ...         return int(self.total("examples"))
    >>> examples = Examples()
    >>> examples.update(torch.zeros(3, 2), None)
    >>> examples.merge(examples)
    >>> examples.result()
    6
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, **parts: Tensor) -> None:
        """Add each part to the sum of its name; the first part becomes the sum, so it must not be in use."""
        for name, part in parts.items():
            if name in self._sums:
                before = tuple(self._sums[name].shape)
                if before != tuple(part.shape):
                    raise InputError(f"{tuple(part.shape)} of {name} now and {before} before; units must not change")
                self._sums[name] += part.to(self._sums[name].device)
            else:
                self._sums[name] = part

    def total(self, name: str) -> Tensor:
        """The sum of that name, on the CPU; an error before the first batch."""
        if name not in self._sums:
            raise self.nothing_seen()
        return self._sums[name].to("cpu", copy=True)

    def merge(self, other: Self) -> None:  # noqa: D102
        self.add(**{name: part.clone() for name, part in other._sums.items()})

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        return {name: part.to("cpu", copy=True) for name, part in self._sums.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        self._sums = {name: part.clone() for name, part in state.items()}


def count(number: int) -> Tensor:
    """A count as a tensor that adds up.

    >>> count(3)
    tensor(3)
    """
    return torch.tensor(number, dtype=torch.int64)
