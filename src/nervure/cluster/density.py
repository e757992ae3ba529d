"""What densities say about the number of clusters: the price of a mixture, and whether two clusters are one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["bic", "free_parameters", "separation"]

SHRINK = 0.1
"""Share of the spread within clusters that counts the same in all directions, where few members show it."""


def free_parameters(clusters: int, dims: int, diagonal: bool = False) -> int:
    """Numbers that a Gaussian mixture chooses: weights, means and covariances.

    >>> free_parameters(3, 2), free_parameters(3, 2, diagonal=True)
    (17, 14)
    """
    covariance = dims if diagonal else dims * (dims + 1) // 2
    return clusters * (dims + covariance) + clusters - 1


def bic(log_likelihood: float, parameters: int, samples: int) -> float:
    """The Bayesian information criterion of a summed log-likelihood; lower is better (Schwarz 1978).

    >>> round(bic(-100.0, 5, 50), 3)
    219.56
    """
    return parameters * math.log(samples) - 2 * log_likelihood


def separation(one: Tensor, other: Tensor) -> float:
    """How much better two clusters are described as two than as one, in nats a sample; not above 0: they are one.

    Their members are projected on Fisher's direction, along which their means lie farthest apart for their spread;
    it is found from one half of them and looked along with the other half, both ways. There, two Gaussians that each
    own their members are held against a single one by the classification likelihood, less half the logarithm of the
    number of samples for each number that a second cluster adds: a mean, a variance along the line, and a weight (the
    integrated classification likelihood; Biernacki et al. 2000). Halves of one Gaussian are one, and halves of a
    uniform strip; equal Gaussians are two from a distance of about 3.6 standard deviations.

    Parameters
    ----------
    one, other : Tensor, (n, d), (m, d)
        The members' latents, float64.

    Examples
    --------
    >>> line = torch.arange(40.0, dtype=torch.float64)[:, None]
    >>> separation(line[:20], line[20:]) > 0, separation(line[:20], line[20:] + 40) > 0
    (False, True)
    """
    total = len(one) + len(other)
    if min(len(one), len(other)) < 4:
        return -math.inf
    gains = []
    for half in (0, 1):
        way = _fisher(one[half::2], other[half::2])
        gains.append(_gain(one[1 - half :: 2] @ way, other[1 - half :: 2] @ way))
    return sum(gains) / 2 - (one.shape[1] + 2) / 2 * math.log(total) / total


def _fisher(one: Tensor, other: Tensor) -> Tensor:
    """Fisher's direction (d,), with a tenth of the spread within taken as the same in all directions."""
    away = torch.cat([one - one.mean(dim=0), other - other.mean(dim=0)])
    within = away.T @ away / len(away)
    apart = other.mean(dim=0) - one.mean(dim=0)
    least = 1e-12 * apart.square().sum()  # equal members have a direction all the same
    if not float(least) > 0:
        return apart
    eye = torch.eye(len(within), dtype=within.dtype, device=within.device)
    even = within.diagonal().mean().clamp(min=least)
    way: Tensor = torch.linalg.solve((1 - SHRINK) * within + SHRINK * even * eye, apart)
    return way


def _gain(one: Tensor, other: Tensor) -> float:
    """Classification log-likelihood a sample of two Gaussians over one, on a line: (n,), (m,)."""
    tiny = torch.finfo(torch.float64).tiny

    def width(part: Tensor) -> float:
        return float(part.var(correction=0).clamp(min=tiny).log()) / 2

    share = len(one) / (len(one) + len(other))
    within = share * width(one) + (1 - share) * width(other)
    return width(torch.cat([one, other])) - within + share * math.log(share) + (1 - share) * math.log(1 - share)
