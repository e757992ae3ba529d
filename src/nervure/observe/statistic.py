"""Statistic: something accumulated over what passes one place in a network, batch by batch."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import ClassVar, Literal, NamedTuple, Self

from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError

__all__ = ["Side", "Site", "Statistic"]

Side = Literal["output", "input", "gradient"]


class Site(NamedTuple):
    """A place in a network: a module by its dotted name, and which side of it.

    ``"output"`` is what the module returns, ``"input"`` its first argument, ``"gradient"`` the gradient of
    the loss with respect to its output (needs labels and a backward pass).

    >>> Site("features.0")
    Site(module='features.0', side='output')
    """

    module: str
    side: Side = "output"


class Statistic(ABC):
    """Accumulates over batches in memory that does not grow with the number of samples.

    Two statistics with the same ``key`` at the same site are one: the pass computes it once. ``merge`` is
    associative: exact for counts, to 1e-12 for float64 sums; so shards and ranks give what one pass gives.

    A subclass takes ``gradient`` or ``incoming`` in :meth:`update` only where it sets ``needs_gradient`` or
    ``needs_input``; the pass gives them by name. One that has seen nothing has an empty state.

    >>> import torch
    >>> class Largest(Statistic):
    ...     key = "largest"
    ...     value = None
    ...
    ...     def update(self, activation, batch, gradient=None, incoming=None):
    ...         largest = activation.amax()
    ...         self.value = largest if self.value is None else torch.maximum(self.value, largest)
    ...
    ...     def merge(self, other):
    ...         self.update(other.value, None)
    ...
    ...     def result(self):
    ...         return float(self.value)
    ...
    ...     def state(self):
    ...         return {} if self.value is None else {"value": self.value}
    ...
    ...     def load_state(self, state):
    ...         self.value = state.get("value")
    >>> largest = Largest()
    >>> largest.update(torch.tensor([[1.0, 3.0]]), None)
    >>> largest.result()
    3.0
    """

    needs_gradient: ClassVar[bool] = False
    needs_input: ClassVar[bool] = False

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """Name and settings, equal for statistics that compute the same."""

    @abstractmethod
    def update(
        self, activation: Tensor, batch: Batch, gradient: Tensor | None = None, incoming: Tensor | None = None
    ) -> None:
        """Take in one batch: ``activation`` is (n, units, ...).

        ``gradient`` has its shape; ``incoming`` is the module's first argument, (n, units before, ...).
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what another of the same key has seen."""

    @abstractmethod
    def result(self) -> object:
        """What was accumulated, in its final form, on the CPU."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything accumulated, as tensors, for ranks and resuming; empty before the first batch."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what :meth:`state` gave, leaving that unchanged; an empty state is a fresh start."""

    def finite(self) -> bool:
        """Whether what was accumulated shows no NaN or infinity; looked at after every batch, so cheap."""
        return all(bool(part.isfinite().all()) for part in self.state().values() if part.is_floating_point())

    def continued(self, state: Mapping[str, Tensor]) -> Self:
        """Another of the same key, which has seen what ``state`` holds; neither changes with the other."""
        twin = copy.copy(self)
        twin.load_state(state)
        return twin

    def nothing_seen(self) -> InputError:
        """The error for a result asked for before the first batch."""
        return InputError(f"{type(self).__name__} has seen no activations; update it, or collect it, first")
