"""Mutual information of paired assignments: IIC (Ji, Henriques and Vedaldi 2019)."""

from __future__ import annotations

from torch import Tensor

from nervure.objectives.precision import at_least_single, without_autocast

__all__ = ["information_loss", "joint_distribution"]

FLOOR = 1e-8


def joint_distribution(p: Tensor, q: Tensor) -> Tensor:
    """How often a sample is in one cluster and its copy in another (spec neural-mixture-clustering, 6.3, IIC).

    P = (1/n) Σ_i p_i q_iᵀ, made symmetric.

    Parameters
    ----------
    p, q : Tensor, shape (n, k)
        Soft assignments of samples and of their copies.

    Returns
    -------
    Tensor, shape (k, k)
        Sums to 1.

    Examples
    --------
    >>> import torch
    >>> joint_distribution(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor([[0.5000, 0.2500],
            [0.2500, 0.0000]])
    """
    p, q = at_least_single(p), at_least_single(q)
    with without_autocast(p):
        joint = p.T @ q / p.shape[0]
    return (joint + joint.T) / 2


def information_loss(joint: Tensor, entropy_weight: float = 1.0) -> Tensor:
    """Minus the mutual information of a sample's cluster and its copy's (spec neural-mixture-clustering, 6.3, IIC).

    -Σ_cc' P_cc' (ln P_cc' - w ln P_c - w ln P_c'); logarithms are floored at ln 1e-8.

    Parameters
    ----------
    joint : Tensor, shape (k, k)
        P of :func:`joint_distribution`, which can be a sum of many parts.
    entropy_weight : float
        w; above 1 it asks for clusters more equal in size.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> import torch
    >>> information_loss(torch.eye(2) / 2)
    tensor(-0.6931)
    """
    log_marginal = joint.sum(dim=1).clamp(min=FLOOR).log()
    gain = joint.clamp(min=FLOOR).log() - entropy_weight * (log_marginal[:, None] + log_marginal)
    return -(joint * gain).sum()
