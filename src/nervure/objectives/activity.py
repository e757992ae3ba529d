"""Graph-based activity regularisation: each latent unit for one group of inputs, and all equally used (S7)."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.objectives.precision import at_least_single

__all__ = ["activity_loss", "affinity", "balance"]


def affinity(b: Tensor) -> Tensor:
    """α, how much units fire together (spec deepcluster, S7, Eq 4.3).

    With N = BᵀB, α = Σ_{i≠j} N_ij / ((n-1) Σ_i N_ii): 0 if and only if no two units of a nonnegative B fire on the
    same sample, 1 if all are alike. It does not depend on scale. Where nothing fires it is 0.

    Parameters
    ----------
    b : Tensor, shape (m, n)
        Activations of n units on a batch of m.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> affinity(torch.eye(3)), affinity(torch.ones(5, 3))
    (tensor(0.), tensor(1.))
    """
    b = _unit_scale(b)
    return _excess(b.sum(dim=1).square().sum(), b.square().sum(), b.shape[1])


def balance(b: Tensor) -> Tensor:
    """β, how equally units are used (spec deepcluster, S7, Eq 4.4).

    With v_i = Σ_m B_mi² and V = vᵀv, β = Σ_{i≠j} V_ij / ((n-1) Σ_i V_ii): 1 if and only if all v_i are equal, 0 if
    one unit alone fires or none does. It does not depend on scale. V is never built: Σ_{i≠j} V = (Σv)² - Σv².

    Parameters
    ----------
    b : Tensor, shape (m, n)
        Activations of n units on a batch of m.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> balance(torch.eye(3)), balance(torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    (tensor(1.), tensor(0.))
    """
    v = _unit_scale(b).square().sum(dim=0)
    return _excess(v.sum().square(), v.square().sum(), v.shape[0])


_affinity, _balance = affinity, balance


def activity_loss(h: Tensor, affinity: float, balance: float, norm: float, rectify: bool = True) -> Tensor:
    """c_α α(B) + c_β (1 - β(B)) + c_F ‖h‖² (spec deepcluster, S7, Eq 4.5; A18).

    Parameters
    ----------
    h : Tensor, shape (m, n)
        Latents of a batch.
    affinity, balance, norm : float
        c_α, c_β, c_F. A term whose coefficient is 0 is left out.
    rectify : bool
        Whether B = ReLU(h), for which α and β lie in [0, 1]; else B = h. The norm is always that of h, summed over
        the batch.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> activity_loss(torch.eye(2), 0.8, 0.8, 0.5), activity_loss(-torch.ones(2, 2), 0.8, 0.8, 0.0)
    (tensor(1.), tensor(0.8000))
    """
    h = at_least_single(h)
    b = h.relu() if rectify else h
    loss = h.new_zeros(())
    if affinity:
        loss = loss + affinity * _affinity(b)
    if balance:
        loss = loss + balance * (1 - _balance(b))
    if norm:
        loss = loss + norm * h.square().sum()
    return loss


def _unit_scale(b: Tensor) -> Tensor:
    """B over its largest entry, a constant: fourth powers of small activations would underflow."""
    if b.dim() != 2 or b.shape[1] < 2:
        raise InputError(f"activity: activations of shape {tuple(b.shape)}; give a batch of at least two units")
    b = at_least_single(b)
    top = b.detach().abs().amax()
    return b / torch.where(top > 0, top, 1.0)


def _excess(total: Tensor, own: Tensor, units: int) -> Tensor:
    """(total - own) / ((units - 1) own); 0 where nothing fires."""
    return (total - own) / ((units - 1) * torch.where(own > 0, own, 1.0))
