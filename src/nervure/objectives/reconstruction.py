"""Reconstruction: a network's output is held against its own input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call
from nervure.objectives.precision import at_least_single
from nervure.objectives.soft_dtw import soft_dtw, soft_dtw_divergence

__all__ = ["Distance", "Reconstruction", "Reduction", "reconstruction_loss"]

Reduction = Literal["mean", "sum"]
Distance = Literal["squared", "soft-dtw", "soft-dtw-divergence"]


def reconstruction_loss(
    out: Tensor,
    x: Tensor,
    mask: Tensor | None = None,
    reduction: Reduction = "sum",
    distance: Distance = "squared",
    gamma: float = 1.0,
) -> Tensor:
    """E1, how far outputs are from inputs (spec deepcluster, Eq 2.11, 2.17, 3.3, 4.1; A3).

    Parameters
    ----------
    out, x : Tensor, shape (n, ...)
        Outputs and inputs; series are ``(n, c, t)``.
    mask : Tensor of bool, shape (n, t), optional
        True where a step of a series is there; others do not count.
    reduction : {"sum", "mean"}
        Over the values of a sample that are there. The thesis' formula is the sum; its framework's default the mean.
        Over samples it is always the mean.
    distance : {"squared", "soft-dtw", "soft-dtw-divergence"}
        Between a series and its reconstruction: value by value, or along the best alignments. The divergence is least
        where both are equal; soft-DTW alone can be negative.
    gamma : float
        Softness of soft-DTW.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(2, 1, 4)
    >>> reconstruction_loss(x + 2, x), reconstruction_loss(x + 2, x, reduction="mean")
    (tensor(16.), tensor(4.))
    """
    _check(reduction, distance)
    out, x = at_least_single(out), at_least_single(x)
    if distance != "squared":
        if x.dim() != 3:
            raise InputError(
                f"reconstruction: distance {distance!r} is for series, and samples are of {tuple(x.shape[1:])}; "
                "use distance='squared'"
            )
        warp = soft_dtw if distance == "soft-dtw" else soft_dtw_divergence
        sums = warp(out, x, gamma, mask)
    else:
        error = out - x
        if mask is not None:
            error = error.masked_fill(~mask[:, None].expand_as(error), 0.0)
        sums = error.square().flatten(1).sum(dim=1)
    if reduction == "sum":
        return sums.mean()
    if mask is None:
        return (sums / x[0].numel()).mean()
    counts = mask.sum(dim=1) * (x[0].numel() // mask.shape[1])
    return (sums / counts.clamp(min=1)).mean()


@dataclass(frozen=True)
class Reconstruction:
    """Squared error between input and output; padded time steps do not count.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over the values of a sample.
    distance : {"squared", "soft-dtw", "soft-dtw-divergence"}
        For series also soft dynamic time warping.
    gamma : float
        Its softness.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.ones(2, 1, 4), None, torch.arange(2))
    >>> loss, logs = Reconstruction()(nn.Identity(), batch)
    >>> float(loss)
    0.0
    """

    reduction: Reduction = "mean"
    distance: Distance = "squared"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        _check(self.reduction, self.distance)
        if self.gamma < 0:
            raise InputError(f"reconstruction: gamma = {self.gamma}; give 0 or more")

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over samples of each sample's error."""
        out = call(net, batch)
        if out.shape != batch.x.shape:
            raise InputError(
                f"reconstruction: the network gives {tuple(out.shape[1:])} for samples of {tuple(batch.x.shape[1:])}; "
                "it needs an auto-encoder, which gives back what it reads"
            )
        return reconstruction_loss(out, batch.x, batch.mask, self.reduction, self.distance, self.gamma), {}


def _check(reduction: str, distance: str) -> None:
    for name, value, known in (("reduction", reduction, Reduction), ("distance", distance, Distance)):
        if value not in get_args(known):
            raise InputError(f"reconstruction: {name} = {value!r}; give one of {', '.join(get_args(known))}")
