"""Clusters as Gaussians: log-densities, responsibilities and the likelihood of latents (DCAE-GMM)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.objectives.precision import at_least_single, without_autocast

__all__ = ["log_joint", "log_joint_whitened", "negative_log_likelihood", "responsibilities"]


def log_joint(h: Tensor, weights: Tensor, means: Tensor, factors: Tensor, *, frozen: bool = True) -> Tensor:
    """ln π_k N(h_n | μ_k, Σ_k) for every latent and component (spec deepcluster, Eq 3.8 to 3.10).

    Computed in the wider precision of latents and parameters (float64 parameters give float64). A component of
    weight 0 has -inf, whatever its mean and factor hold.

    Parameters
    ----------
    h : Tensor, shape (n, d)
        Latents.
    weights : Tensor, shape (k,)
        π, which sum to 1.
    means : Tensor, shape (k, d)
        μ.
    factors : Tensor, shape (k, d, d) or (k, d)
        Lower Cholesky factors of Σ; or, for diagonal covariances, standard deviations.
    frozen : bool
        Whether the parameters are constants (Algorithm 2) or receive gradients (VaDE).

    Returns
    -------
    Tensor, shape (n, k)

    Examples
    --------
    >>> h = torch.tensor([[0.0], [2.0]])
    >>> log_joint(h, torch.tensor([0.5, 0.5]), torch.tensor([[0.0], [2.0]]), torch.ones(2, 1))
    tensor([[-1.6121, -3.6121],
            [-3.6121, -1.6121]])
    """
    if factors.shape not in (means.shape, (*means.shape, means.shape[1])):
        raise InputError(
            f"factors of shape {tuple(factors.shape)} for means of {tuple(means.shape)}; give (k, d, d) Cholesky "
            "factors or (k, d) standard deviations"
        )
    h, weights, means, factors = (at_least_single(one) for one in (h, weights, means, factors))
    if frozen:
        weights, means, factors = weights.detach(), means.detach(), factors.detach()
    kind = torch.promote_types(
        torch.promote_types(h.dtype, weights.dtype), torch.promote_types(means.dtype, factors.dtype)
    )
    h, weights, means, factors = h.to(kind), weights.to(kind), means.to(kind), factors.to(kind)
    alive = weights > 0
    means = torch.where(alive[:, None], means, 0.0)
    if factors.dim() == 2:
        factors = torch.where(alive[:, None], factors, 1.0)
        whitened = ((h[:, None] - means) / factors).square().sum(dim=2)
        volume = factors.log().sum(dim=1)
    else:
        whole = torch.eye(h.shape[1], dtype=kind, device=factors.device)
        factors = torch.where(alive[:, None, None], factors, whole)
        off = (h - means[:, None]).transpose(1, 2)
        whitened = torch.linalg.solve_triangular(factors, off, upper=False).square().sum(dim=1).T
        volume = factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    return weights.log() - volume - 0.5 * (whitened + h.shape[1] * math.log(2 * math.pi))


def log_joint_whitened(h: Tensor, weights: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """:func:`log_joint` by the inverses of the Cholesky factors, with products alone: for exported graphs.

    Parameters
    ----------
    h : Tensor, shape (n, d)
        Latents.
    weights : Tensor, shape (k,)
        π.
    means : Tensor, shape (k, d)
        μ.
    whitening : Tensor, shape (k, d, d)
        Inverses of the lower Cholesky factors of Σ.

    Returns
    -------
    Tensor, shape (n, k)

    Examples
    --------
    >>> h, factor = torch.tensor([[1.0, 2.0]]), torch.tensor([[[2.0, 0.0], [1.0, 1.0]]])
    >>> one, zero = torch.ones(1), torch.zeros(1, 2)
    >>> log_joint_whitened(h, one, zero, torch.linalg.inv(factor)), log_joint(h, one, zero, factor)
    (tensor([[-3.7810]]), tensor([[-3.7810]]))
    """
    h, weights, means, whitening = (at_least_single(one) for one in (h, weights, means, whitening))
    with without_autocast(h):
        white = (h - means[:, None]) @ whitening.transpose(1, 2)
    volume = whitening.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    return weights.log() + volume - 0.5 * (white.square().sum(dim=2).T + h.shape[1] * math.log(2 * math.pi))


def responsibilities(log_joint: Tensor) -> Tensor:
    """γ_nk, how much each component answers for each latent (spec deepcluster, Eq 3.10); rows sum to 1.

    Parameters
    ----------
    log_joint : Tensor, shape (n, k)
        ln π_k N(h_n | μ_k, Σ_k).

    Returns
    -------
    Tensor, shape (n, k)

    Examples
    --------
    >>> responsibilities(torch.tensor([[0.0, 0.0], [-1000.0, -1001.0]]))
    tensor([[0.5000, 0.5000],
            [0.7311, 0.2689]])
    """
    return at_least_single(log_joint).softmax(dim=1)


def negative_log_likelihood(log_joint: Tensor, variant: Literal["corrected", "published"] = "corrected") -> Tensor:
    """E3g without its weight: how badly the mixture explains the latents (spec deepcluster, Eq 3.8, A1 and A2).

    Parameters
    ----------
    log_joint : Tensor, shape (n, k)
        ln π_k N(h_n | μ_k, Σ_k).
    variant : {"corrected", "published"}
        Corrected: minus the mean log-likelihood. Published: plus its sum over samples, as printed, which pushes
        latents away from the components and diverges.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> joint = torch.tensor([[0.25, 0.25], [0.125, 0.125]]).log()
    >>> negative_log_likelihood(joint), negative_log_likelihood(joint, variant="published")
    (tensor(1.0397), tensor(-2.0794))
    """
    evidence = at_least_single(log_joint).logsumexp(dim=1)
    if variant == "corrected":
        return -evidence.mean()
    if variant == "published":
        return evidence.sum()
    raise InputError(f"likelihood: variant {variant!r}; give 'corrected' or 'published'")
