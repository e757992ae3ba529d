"""The reading of one activation in plain torch: any device, and machines without compiled kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.observe.grid import Grid
from nervure.observe.totals import Totals, joined

__all__ = ["summarise"]

CACHED = 1 << 18  # values a slice: its float64 copies stay in the processor's cache


def summarise(values: Tensor, grid: Grid | None = None) -> tuple[Totals, Tensor]:
    """Totals of ``values``, their positions' means, and counts added to ``grid``.

    Parameters
    ----------
    values : Tensor
        (n, units, positions), float32 or float64; read a slice of samples at a time.
    grid : Grid, optional
        Takes the counts of values; left alone by a slice that holds NaN or infinity.

    Returns
    -------
    totals : Totals
    means : Tensor
        (n, units) float32, mean over positions (summed in float64).

    >>> totals, means = summarise(torch.tensor([[[1.0, 3.0]], [[0.0, 2.0]]]))
    >>> totals.total, means.flatten()
    (tensor([6.], dtype=torch.float64), tensor([2., 1.]))
    """
    n, units, positions = values.shape
    centre = values[0].mean(1, dtype=torch.float64)
    wanted = max(CACHED, 4 * grid.counts.numel()) if grid is not None else CACHED
    step = n if values.is_cuda else max(1, wanted // (units * positions))
    means = values.new_empty(n, units, dtype=torch.float32)
    whole: Totals | None = None
    for start in range(0, n, step):
        part = values[start : start + step]
        totals = _totals(part, centre, means[start : start + step])
        whole = totals if whole is None else joined(whole, totals)
        if grid is not None and bool(totals.squares.isfinite().all()):
            grid.grow(totals.low, totals.high)
            grid.count(part)
    assert whole is not None
    return whole, means


def _totals(part: Tensor, centre: Tensor, means: Tensor) -> Totals:
    """Totals of a slice; ``centre`` lies near each unit's mean, so that no digits of the variance cancel."""
    n, _, positions = part.shape
    wide = part.to(torch.float64)
    absolute = wide.abs().sum(2).sum(0)
    away = wide - centre[:, None]
    sums = away.sum(2)
    means.copy_(sums / positions + centre)
    away_total = sums.sum(0)
    squares = torch.linalg.vector_norm(away, 2, dim=2).square().sum(0) - away_total.square() / (n * positions)
    # Sums of signs count faster than comparisons do, and exactly while positions fit a float's digits.
    signs = part.sign() if positions < 1 << 24 else part.sign().to(torch.float64)
    surplus = signs.sum(2).sum(0, dtype=torch.float64)
    nonzero = signs.abs_().sum(2).sum(0, dtype=torch.float64)
    return Totals(
        n,
        n * positions,
        away_total + centre * (n * positions),
        # Rounding may leave a constant unit a little below 0; NaN must stay NaN, which clamp sees to.
        squares.clamp(min=0),
        absolute,
        part.amin(2).amin(0).to(torch.float64),
        part.amax(2).amax(0).to(torch.float64),
        (n * positions - nonzero).to(torch.int64),
        (n * positions - (nonzero + surplus) / 2).to(torch.int64),
    )
