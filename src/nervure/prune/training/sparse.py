"""Sparse evolutionary training in pure functions: which connections there are, which go, which come.

Source: spec majority-voting-pruning, 5 (S4).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from nervure.errors import InputError

__all__ = ["Init", "connection_probability", "degrees", "grown", "random_mask", "regrow", "survivors"]

Init = Literal["zero", "he"]


def connection_probability(n_in: int, n_out: int, epsilon: float) -> float:
    """``p = min(1, epsilon (n_in + n_out) / (n_in n_out))``.

    >>> connection_probability(784, 1000, 20)
    0.04551020408163265
    """
    return min(1.0, epsilon * (n_in + n_out) / (n_in * n_out))


def random_mask(n_out: int, n_in: int, epsilon: float, generator: torch.Generator) -> Tensor:
    """(n_out, n_in) bool: each connection is there with the probability above, independently.

    >>> random_mask(3, 4, 100, torch.Generator()).all()
    tensor(True)
    """
    return torch.rand(n_out, n_in, generator=generator) < connection_probability(n_in, n_out, epsilon)


def survivors(weight: Tensor, mask: Tensor, zeta: float) -> Tensor:
    """The mask without the fraction ``zeta`` of its positive weights and of its negative weights nearest to zero.

    A connection whose weight is exactly zero counts as positive, so it goes first. Equal weights go by position.

    Parameters
    ----------
    weight, mask : tensor
        Of one shape; the mask is bool.
    zeta : float
        Of each sign, ``floor(zeta * count)`` connections go.

    Examples
    --------
    >>> weight = torch.tensor([0.1, 0.2, 0.0, 0.9, -0.1, -0.8, 0.05])
    >>> survivors(weight, weight != 0, 0.5)
    tensor([False,  True, False,  True, False,  True, False])
    """
    flat, stays = weight.detach().flatten(), mask.flatten().clone()
    for sign in (flat >= 0, flat < 0):
        at = (sign & mask.flatten()).nonzero().flatten()
        order = flat[at].abs().argsort(stable=True)
        stays[at[order[: math.floor(zeta * len(at) + 1e-9)]]] = False
    return stays.view_as(mask)


def regrow(mask: Tensor, count: int, generator: torch.Generator, allowed: Tensor | None = None) -> Tensor:
    """Up to ``count`` empty positions of ``mask``, drawn at random: a mask of its shape, True at the new ones.

    Parameters
    ----------
    mask : tensor
        Bool; what is there already.
    count : int
        How many to draw; all empty positions if there are fewer.
    generator : Generator
        On the CPU, so that the draw is the same on every device.
    allowed : tensor, optional
        Bool, of the same shape: where something may grow, for networks that keep deleted units in place.

    Examples
    --------
    >>> mask = torch.tensor([[True, False], [True, False]])
    >>> regrow(mask, 2, torch.Generator())
    tensor([[False,  True],
            [False,  True]])
    """
    free = ~mask if allowed is None else ~mask & allowed
    empty = free.flatten().nonzero().flatten()
    drawn = torch.randperm(len(empty), generator=generator)[:count].to(mask.device)
    new = torch.zeros(mask.numel(), dtype=torch.bool, device=mask.device)
    new[empty[drawn]] = True
    return new.view_as(mask)


def grown(new: Tensor, init: Init, generator: torch.Generator) -> Tensor:
    """Float32 weights of new connections: zero, or normal with variance ``2 / n_in``; zero where nothing is new.

    >>> grown(torch.tensor([[True, False]]), "zero", torch.Generator())
    tensor([[0., 0.]])
    """
    if init not in ("zero", "he"):
        raise InputError(f"regrow_init = {init!r}; give 'zero' or 'he'")
    values = torch.zeros(new.shape)
    if init == "he":
        count = int(new.sum())
        drawn = torch.randn(count, generator=generator) * math.sqrt(2 / new.shape[1])
        values[new.cpu()] = drawn
    return values.to(new.device)


def degrees(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Connections into each unit (n_out,), and out of each input (n_in,), of a mask (n_out, n_in).

    >>> degrees(torch.tensor([[True, True], [False, True]]))
    (tensor([2, 1]), tensor([1, 2]))
    """
    return mask.sum(1), mask.sum(0)
