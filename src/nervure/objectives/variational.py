"""Variational deep embedding: an auto-encoder whose prior is a mixture of Gaussians (VaDE, Jiang et al. 2017).

The bound of one sample is E[ln p(x|z)] - KL(q(z, c|x) ‖ p(z, c)) with q(z, c|x) = N(z | μ̃, σ̃²) γ_c. The functions give
the parts of that divergence; each has shape ``(n,)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nervure.objectives.gaussians import log_joint, responsibilities
from nervure.objectives.precision import at_least_single

__all__ = ["latent_cost", "latent_entropy", "membership", "membership_cost", "reparameterise", "vade_loss"]

LOG_TWO_PI = math.log(2 * math.pi)


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = μ̃ + σ̃ ε, a draw through which gradients flow.

    Parameters
    ----------
    mean, log_variance : Tensor, shape (n, d)
        Of the encoder.
    noise : Tensor, shape (n, d)
        Standard normal.

    Returns
    -------
    Tensor, shape (n, d)

    Examples
    --------
    >>> reparameterise(torch.tensor([[1.0]]), torch.zeros(1, 1), torch.tensor([[0.5]]))
    tensor([[1.5000]])
    """
    return at_least_single(mean) + (at_least_single(log_variance) / 2).exp() * noise


def membership(z: Tensor, weights: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """γ_c = p(c | z), which makes the bound tight (Jiang et al. 2017, Eq 16); gradients reach all arguments.

    Parameters
    ----------
    z : Tensor, shape (n, d)
        Draws, or means.
    weights : Tensor, shape (k,)
        π.
    means, log_variances : Tensor, shape (k, d)
        Of the components.

    Returns
    -------
    Tensor, shape (n, k)

    Examples
    --------
    >>> membership(torch.zeros(1, 1), torch.tensor([0.5, 0.5]), torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
    tensor([[0.5000, 0.5000]])
    """
    deviations = (at_least_single(log_variances) / 2).exp()
    return responsibilities(log_joint(z, weights, means, deviations, frozen=False))


def latent_cost(mean: Tensor, log_variance: Tensor, gamma: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """-E[ln p(z | c)] under q(z, c | x) (Jiang et al. 2017, Eq 12, the terms in μ_c and σ_c).

    ½ Σ_c γ_c Σ_d (ln 2π + ln σ_c² + (σ̃² + (μ̃ - μ_c)²) / σ_c²).

    Parameters
    ----------
    mean, log_variance : Tensor, shape (n, d)
        Of the encoder.
    gamma : Tensor, shape (n, k)
        Memberships.
    means, log_variances : Tensor, shape (k, d)
        Of the components.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> zeros = torch.zeros(1, 1)
    >>> latent_cost(zeros, zeros, torch.ones(1, 1), zeros, zeros)
    tensor([1.4189])
    """
    mean, log_variance, gamma, means, log_variances = (
        at_least_single(one) for one in (mean, log_variance, gamma, means, log_variances)
    )
    spread = log_variance.exp()[:, None] + (mean[:, None] - means).square()
    each = (LOG_TWO_PI + log_variances + spread * (-log_variances).exp()).sum(dim=2)
    return (gamma * each).sum(dim=1) / 2


def membership_cost(gamma: Tensor, weights: Tensor) -> Tensor:
    """KL(γ ‖ π), Σ_c γ_c ln(γ_c / π_c) (Jiang et al. 2017, Eq 12).

    Parameters
    ----------
    gamma : Tensor, shape (n, k)
        Memberships.
    weights : Tensor, shape (k,)
        π.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> membership_cost(torch.tensor([[1.0, 0.0]]), torch.tensor([0.5, 0.5]))
    tensor([0.6931])
    """
    gamma, weights = at_least_single(gamma), at_least_single(weights)
    tiny = torch.finfo(gamma.dtype).tiny
    return (gamma * (gamma.clamp(min=tiny).log() - weights.clamp(min=tiny).log())).sum(dim=1)


def latent_entropy(log_variance: Tensor) -> Tensor:
    """Entropy of q(z | x), ½ Σ_d (1 + ln 2π + ln σ̃²) (Jiang et al. 2017, Eq 12, the last term).

    Parameters
    ----------
    log_variance : Tensor, shape (n, d)
        Of the encoder.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> latent_entropy(torch.zeros(1, 1))
    tensor([1.4189])
    """
    return (1 + LOG_TWO_PI + at_least_single(log_variance)).sum(dim=1) / 2


def vade_loss(
    reconstruction: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    gamma: Tensor,
    weights: Tensor,
    means: Tensor,
    log_variances: Tensor,
    strength: float = 1.0,
) -> Tensor:
    """Minus the evidence bound: reconstruction and the three costs of the latent (Jiang et al. 2017, Eq 12).

    Parameters
    ----------
    reconstruction : Tensor, shape () or (n,)
        -ln p(x | z): a sum over the values of a sample, else the latent's costs weigh too much.
    mean, log_variance : Tensor, shape (n, d)
        Of the encoder.
    gamma : Tensor, shape (n, k)
        Memberships, of :func:`membership`.
    weights : Tensor, shape (k,)
        π.
    means, log_variances : Tensor, shape (k, d)
        Of the components.
    strength : float
        Weight of the divergence; 1 is the bound, less serves a warm-up.

    Returns
    -------
    Tensor, shape ()
        The mean over samples.

    Examples
    --------
    >>> zeros = torch.zeros(1, 1)
    >>> vade_loss(torch.tensor(2.0), zeros, zeros, torch.ones(1, 1), torch.ones(1), zeros, zeros)
    tensor(2.)
    """
    cost = latent_cost(mean, log_variance, gamma, means, log_variances) + membership_cost(gamma, weights)
    return reconstruction.mean() + strength * (cost - latent_entropy(log_variance)).mean()
