"""Folded: a statistic of units that lie spread over axis 1, as channels do behind a flatten."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, Self, TypeVar

from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.statistic import Statistic

__all__ = ["Folded", "fold"]

S = TypeVar("S", bound=Statistic)


def fold(activation: Tensor, spread: int) -> Tensor:
    """(n, units * spread, ...) as (n, units, spread, ...).

    >>> import torch
    >>> fold(torch.arange(6.0)[None], 3)
    tensor([[[0., 1., 2.],
             [3., 4., 5.]]])
    """
    n, width = activation.shape[:2]
    if width % spread:
        raise InputError(f"{width} values are no whole number of units with {spread} values each")
    return activation.reshape(n, width // spread, spread, *activation.shape[2:])


class Folded(Statistic, Generic[S]):
    """What ``inner`` accumulates, with ``spread`` neighbours on axis 1 taken as the positions of one unit.

    >>> import torch
    >>> from nervure.observe.votes import Votes
    >>> folded = Folded(Votes(0.5), spread=2)
    >>> folded.update(torch.tensor([[1.0, 0.0, 3.0, 4.0]]), None)
    >>> folded.result().votes
    tensor([0, 1])
    """

    def __init__(self, inner: S, spread: int) -> None:
        if spread < 1:
            raise InputError(f"spread = {spread}; give 1 or more")
        if inner.needs_input:
            raise InputError(f"{type(inner).__name__} needs what the layer was given, which cannot be folded")
        self.inner = inner
        self.spread = spread
        self.needs_gradient = inner.needs_gradient  # type: ignore[misc]

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("folded", self.spread, self.inner.key)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        if gradient is None:
            self.inner.update(fold(activation, self.spread), batch)
        else:
            self.inner.update(fold(activation, self.spread), batch, gradient=fold(gradient, self.spread))

    def merge(self, other: Self) -> None:  # noqa: D102
        self.inner.merge(other.inner)

    def result(self) -> object:  # noqa: D102
        return self.inner.result()

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        return self.inner.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        # Copies share what they hold until one of them is loaded, as copies of a plain statistic do.
        self.inner = self.inner.continued(state)

    def finite(self) -> bool:  # noqa: D102
        return self.inner.finite()
