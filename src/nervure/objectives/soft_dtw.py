"""Soft dynamic time warping between series (Cuturi and Blondel 2017), by anti-diagonals, with its own backward pass.

A cell (i, j) of the table needs its neighbours above, to the left and on the diagonal, which lie on the two
anti-diagonals before its own: so all cells of one anti-diagonal, of all pairs, are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nervure.errors import InputError
from nervure.objectives.precision import at_least_single, without_autocast

__all__ = ["soft_dtw", "soft_dtw_divergence"]

# stands for infinity: a sum of many stays finite in float32, and so does a difference of two
FAR = 1e30
CELLS = 1 << 30
"""As many pairs of steps are compared at once at most: 4 GiB a table, of which the backward pass holds several."""


def soft_dtw(
    x: Tensor, y: Tensor, gamma: float = 1.0, mask: Tensor | None = None, other_mask: Tensor | None = None
) -> Tensor:
    """Soft-minimum over all alignments of the summed squared distances (spec deepcluster, S16: soft-DTW).

    Parameters
    ----------
    x : Tensor, shape (n, c, t)
        Series.
    y : Tensor, shape (n, c, s)
        Series of the same variates, perhaps of another length.
    gamma : float
        Softness; 0 is dynamic time warping itself. With softness a pair's value can lie below 0.
    mask : Tensor of bool, shape (n, t), optional
        True where a step of ``x`` is there; steps that are not follow all that are.
    other_mask : Tensor of bool, shape (n, s), optional
        The same for ``y``; without it ``mask`` holds for both, if both have one length.

    Returns
    -------
    Tensor, shape (n,)
        0 where a series has no step.

    Examples
    --------
    >>> x, y = torch.tensor([[[0.0, 1.0, 2.0]]]), torch.tensor([[[0.0, 0.0, 1.0, 2.0]]])
    >>> soft_dtw(x, y, gamma=0.0)
    tensor([0.])
    >>> soft_dtw(x, y)
    tensor([-1.4709])
    """
    if gamma < 0:
        raise InputError(f"soft-DTW: gamma = {gamma}; give 0 or more")
    if x.dim() != 3 or y.dim() != 3 or x.shape[:2] != y.shape[:2]:
        raise InputError(
            f"soft-DTW between series of {tuple(x.shape)} and {tuple(y.shape)}; give (n, c, t) and (n, c, s)"
        )
    if (cells := x.shape[0] * x.shape[2] * y.shape[2]) > CELLS:
        raise InputError(
            f"soft-DTW of {x.shape[0]} series of {x.shape[2]} steps compares {cells:,} pairs of steps at once, over "
            f"{CELLS:,}; take smaller batches, or windows of the series, or squared errors"
        )
    if other_mask is None and mask is not None and x.shape[2] == y.shape[2]:
        other_mask = mask
    x, rows = _measured(x, mask)
    y, columns = _measured(y, other_mask)
    value = cast(Callable[..., Tensor], _Warp.apply)(_costs(x, y), rows, columns, gamma)
    return torch.where((rows > 0) & (columns > 0), value, 0.0)


def soft_dtw_divergence(
    x: Tensor, y: Tensor, gamma: float = 1.0, mask: Tensor | None = None, other_mask: Tensor | None = None
) -> Tensor:
    """soft-DTW(x, y) less half of each series with itself: never below 0, and 0 for equal series (Blondel et al. 2021).

    Parameters
    ----------
    x, y, gamma, mask, other_mask
        As of :func:`soft_dtw`.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 1.0, 2.0]]])
    >>> soft_dtw_divergence(x, x), soft_dtw_divergence(x, x + 1) > 0
    (tensor([0.]), tensor([True]))
    """
    if other_mask is None and mask is not None and x.shape[2] == y.shape[2]:
        other_mask = mask
    own = soft_dtw(x, x, gamma, mask, mask) + soft_dtw(y, y, gamma, other_mask, other_mask)
    return soft_dtw(x, y, gamma, mask, other_mask) - own / 2


def _measured(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The series with zeros for what is not there, and the steps of each."""
    x = at_least_single(x)
    if mask is None:
        return x, torch.full((x.shape[0],), x.shape[2], device=x.device)
    if mask.shape != (x.shape[0], x.shape[2]):
        raise InputError(f"soft-DTW: a mask of {tuple(mask.shape)} for series of {tuple(x.shape)}; give (n, t)")
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise InputError("soft-DTW: a mask with a gap; steps that are not there must follow all that are")
    return x.masked_fill(~mask[:, None], 0.0), mask.sum(dim=1)


def _costs(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all steps, shape (n, t, s); around a common point, so that offsets cost no digits."""
    kind = torch.promote_types(x.dtype, y.dtype)
    x, y = x.to(kind), y.to(kind)
    middle = y.detach().mean(dim=2, keepdim=True)
    x, y = x - middle, y - middle
    squares = x.square().sum(dim=1)[:, :, None] + y.square().sum(dim=1)[:, None]
    with without_autocast(x):
        return torch.baddbmm(squares, x.transpose(1, 2), y, alpha=-2).clamp(min=0)


def _skewed(table: Tensor) -> Tensor:
    """(n, t, s) -> (t + s - 1, n, t): the anti-diagonals, cell (i, j) at [i + j, :, i]; zeros beside them."""
    n, t, s = table.shape
    wide = functional.pad(table, (0, t)).reshape(n, t * (s + t))
    return wide[:, : t * (s + t - 1)].view(n, t, s + t - 1).permute(2, 0, 1).contiguous()


def _straight(diagonals: Tensor, s: int) -> Tensor:
    """The way back from :func:`_skewed`."""
    wide, n, t = diagonals.shape
    flat = diagonals.permute(1, 2, 0).reshape(n, t * wide)
    return functional.pad(flat, (0, t)).view(n, t, s + t)[:, :, :s]


def _span(k: int, t: int, s: int) -> tuple[int, int]:
    """The rows i of an anti-diagonal: from the first to before the last."""
    return max(0, k - s + 1), min(t, k + 1)


def _shares(left: Tensor, above: Tensor, across: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Soft-minimum of three, and the share of each in it, shape (3, ...)."""
    three = torch.stack([left, above, across])
    least = three.amin(dim=0)
    weights = torch.exp((least - three) / gamma) if gamma else (three == least).to(three.dtype)
    total = weights.sum(dim=0)
    return (least - gamma * total.log() if gamma else least), weights / total


class _Warp(torch.autograd.Function):
    """The table of best alignments; backward spreads the gradient along the alignments' shares."""

    @staticmethod
    def forward(ctx: Any, costs: Tensor, rows: Tensor, columns: Tensor, gamma: float) -> Tensor:
        n, t, s = costs.shape
        diagonals = _skewed(costs)
        # a first column of FAR stands before row 0
        best = costs.new_full((t + s - 1, n, t + 1), FAR)
        best[0, :, 1] = diagonals[0, :, 0]
        for k in range(1, t + s - 1):
            low, high = _span(k, t, s)
            least, _ = _shares(*_before(best, k, low, high), gamma)
            best[k, :, low + 1 : high + 1] = diagonals[k, :, low:high] + least
        ctx.save_for_backward(best, rows, columns)
        ctx.gamma, ctx.columns = gamma, s
        ends = (rows + columns - 2).clamp(min=0)
        return best[ends, torch.arange(n, device=costs.device), rows.clamp(min=1)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        best, rows, columns = ctx.saved_tensors
        wide, n, t = best.shape[0], best.shape[1], best.shape[2] - 1
        flow = torch.zeros_like(best)
        ends = (rows + columns - 2).clamp(min=0)
        flow[ends, torch.arange(n, device=best.device), rows.clamp(min=1)] = gradient
        for k in range(wide - 1, 0, -1):
            low, high = _span(k, t, ctx.columns)
            _, shares = _shares(*_before(best, k, low, high), ctx.gamma)
            left, above, across = shares * flow[k, :, low + 1 : high + 1]
            flow[k - 1, :, low + 1 : high + 1] += left
            flow[k - 1, :, low:high] += above
            if k > 1:
                flow[k - 2, :, low:high] += across
        return _straight(flow[:, :, 1:], ctx.columns), None, None, None


def _before(best: Tensor, k: int, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
    """What lies left of, above and across from the cells of anti-diagonal k; column i + 1 of ``best`` is row i."""
    above = best[k - 1, :, low:high]
    across = best[k - 2, :, low:high] if k > 1 else torch.full_like(above, FAR)
    return best[k - 1, :, low + 1 : high + 1], above, across
