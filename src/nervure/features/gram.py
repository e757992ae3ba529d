"""Filters compared as a whole, by inner products of their weights: spec ssim-kmeans-pruning, 6.4 and 7.5.

Centroids are means of filters, so their inner products are means of those between filters: compared in this way
the mean of a group costs O(n) a member, whatever the size of the filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Cosine", "Gram", "OneWindow", "SquaredError"]

Reals = NDArray[np.float64]
Groups = Sequence[NDArray[np.integer]]

ZERO = 1e-12  # of the largest squared length: what rounding may leave of a filter of zeros


class Gram(Protocol):
    """A layer's filters, compared with means of some of them."""

    def with_groups(self, groups: Groups) -> Reals:
        """Similarity of the mean of each group with every filter, (groups, n)."""
        ...


class OneWindow:
    """SSIM by a single window, the whole filter, with population moments.

    Parameters
    ----------
    values : Tensor, (n, ...)
    constants : tuple of float
        What keeps SSIM's two divisors from 0.

    Examples
    --------
    >>> import torch
    >>> OneWindow(torch.tensor([[1.0, 3.0], [2.0, 6.0]]), (0.0, 0.0)).with_groups([np.array([0])])
    array([[1.  , 0.64]])
    """

    def __init__(self, values: Tensor, constants: tuple[float, float]) -> None:
        wide = values.double().flatten(1)
        average = wide.mean(1)
        scaled = (wide - average.unsqueeze(1)) * wide.shape[1] ** -0.5
        self.products: Reals = (scaled @ scaled.T).cpu().numpy()
        self.mean: Reals = average.cpu().numpy()
        self.constants = constants

    def with_groups(self, groups: Groups) -> Reals:  # noqa: D102
        c1, c2 = self.constants
        covariance, spread = _means(self.products, groups)
        mean = np.array([self.mean[group].mean() for group in groups])[:, None]
        above = (2 * mean * self.mean + c1) * (2 * covariance + c2)
        below = (mean**2 + self.mean**2 + c1) * (spread + np.diagonal(self.products) + c2)
        return np.asarray(above / below, dtype=np.float64)


class SquaredError:
    """``1 - 2 mse / largest``, with the largest mean squared error of two filters: from -1, as unlike as any, to 1.

    >>> import torch
    >>> SquaredError(torch.tensor([[0.0], [1.0], [2.0]])).with_groups([np.array([0]), np.array([0, 2])])
    array([[ 1. ,  0.5, -1. ],
           [ 0.5,  1. ,  0.5]])
    """

    def __init__(self, values: Tensor) -> None:
        wide = values.double().flatten(1)
        wide = wide - wide.mean(0)  # a distance does not see where all filters lie; rounding does
        self.products: Reals = (wide @ wide.T).cpu().numpy()
        own = np.diagonal(self.products)
        self.largest = float((own[:, None] + own - 2 * self.products).max()) or 1.0

    def with_groups(self, groups: Groups) -> Reals:  # noqa: D102
        inner, own = _means(self.products, groups)
        square = (own + np.diagonal(self.products) - 2 * inner).clip(min=0)
        return np.asarray(1 - 2 * square / self.largest, dtype=np.float64)


class Cosine:
    """The cosine between two filters; two filters of zeros are alike (1), one of zeros is like no other (0).

    >>> import torch
    >>> Cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])).with_groups([np.array([0]), np.array([2])])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """

    def __init__(self, values: Tensor) -> None:
        wide = values.double().flatten(1)
        self.products: Reals = (wide @ wide.T).cpu().numpy()
        self.least = ZERO * float(np.diagonal(self.products).max())

    def with_groups(self, groups: Groups) -> Reals:  # noqa: D102
        inner, own = _means(self.products, groups)
        other = np.diagonal(self.products)[None]
        empty, other_empty = own <= self.least, other <= self.least
        both = np.sqrt(own.clip(min=0) * other)
        found = np.divide(inner, both, out=np.zeros_like(inner), where=~(empty | other_empty))
        return np.asarray(np.where(empty & other_empty, 1.0, found.clip(-1, 1)), dtype=np.float64)


def _means(products: Reals, groups: Groups) -> tuple[Reals, Reals]:
    """Inner products of the mean of each group with every filter (groups, n), and with itself (groups, 1)."""
    if not groups:
        return np.zeros((0, len(products))), np.zeros((0, 1))
    inner = np.stack([products[group].mean(0) for group in groups])
    return inner, np.array([row[group].mean() for row, group in zip(inner, groups, strict=True)])[:, None]
