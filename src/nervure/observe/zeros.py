"""Share of zeros among each unit's activations."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from nervure.observe.summary import Reading

__all__ = ["ZeroFraction"]


class ZeroFraction(Reading):
    """Share of values that are exactly zero: APoZ, where the site lies behind a ReLU.

    Parameters
    ----------
    after_relu : bool
        Count what a ReLU would make zero (values of 0 and below): APoZ at a site before it.

    >>> zeros = ZeroFraction()
    >>> zeros.update(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), None)
    >>> zeros.result()
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """

    def __init__(self, *, after_relu: bool = False) -> None:
        self.after_relu = after_relu

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("zero-fraction", self.after_relu)

    def result(self) -> Tensor:
        """(units,) float64, from 0 to 1."""
        totals = self.totals()
        counted = totals.nonpositive if self.after_relu else totals.zeros
        return counted.to(torch.float64) / totals.count
