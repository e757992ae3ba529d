"""Self-training on Student-t assignments: DEC, IDEC and DCEC (Xie et al. 2016; Guo et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.objectives.centres import squared_distances
from nervure.objectives.precision import at_least_single

__all__ = ["divergence", "student_assignment", "target_distribution", "target_distribution_from"]


def student_assignment(h: Tensor, centres: Tensor, freedom: float = 1.0) -> Tensor:
    """Soft assignment by Student's t (spec deepcluster, S6: q_nk ∝ (1 + ‖h_n - μ_k‖²)^-1).

    With ν degrees of freedom q_nk ∝ (1 + ‖h_n - μ_k‖² / ν)^(-(ν+1)/2). Gradients reach latents and centres.

    Parameters
    ----------
    h : Tensor, shape (n, d)
        Latents.
    centres : Tensor, shape (k, d)
        Centres.
    freedom : float
        ν.

    Returns
    -------
    Tensor, shape (n, k)
        Rows sum to 1.

    Examples
    --------
    >>> student_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0]]))
    tensor([[0.6667, 0.3333]])
    """
    near = torch.log1p(squared_distances(h, centres) / freedom)
    return (-(freedom + 1) / 2 * near).softmax(dim=1)


def target_distribution(q: Tensor) -> Tensor:
    """The sharpened target p_nk ∝ q²_nk / Σ_n q_nk of these samples (spec deepcluster, S6); a constant.

    Parameters
    ----------
    q : Tensor, shape (n, k)
        Soft assignments of all samples.

    Returns
    -------
    Tensor, shape (n, k)
        Rows sum to 1.

    Examples
    --------
    >>> target_distribution(torch.tensor([[0.8, 0.2], [0.4, 0.6]]))
    tensor([[0.9143, 0.0857],
            [0.2286, 0.7714]])
    """
    return target_distribution_from(q, at_least_single(q.detach()).sum(dim=0))


def target_distribution_from(q: Tensor, mass: Tensor) -> Tensor:
    """The target of some samples, given the mass Σ_n q_nk of all: for streams and batches.

    Parameters
    ----------
    q : Tensor, shape (n, k)
        Soft assignments of some samples.
    mass : Tensor, shape (k,)
        Column sums over all samples. A column without mass gets none.

    Returns
    -------
    Tensor, shape (n, k)
        Rows sum to 1.

    Examples
    --------
    >>> q = torch.tensor([[0.8, 0.2], [0.4, 0.6]])
    >>> target_distribution_from(q[1:], q.sum(dim=0))
    tensor([[0.2286, 0.7714]])
    """
    q, mass = at_least_single(q.detach()), at_least_single(mass.detach())
    # q times its share, for q² would underflow where q is small
    sharp = q * (q / mass.clamp(min=torch.finfo(mass.dtype).tiny))
    return (sharp / sharp.sum(dim=1, keepdim=True)).to(q.dtype)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(P‖Q), the mean over samples (spec deepcluster, S6); P is a constant.

    Parameters
    ----------
    p : Tensor, shape (n, k)
        Target, rows sum to 1.
    q : Tensor, shape (n, k)
        Assignment, rows sum to 1.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor(0.6931)
    """
    p, q = at_least_single(p.detach()), at_least_single(q)
    log_q = q.clamp(min=torch.finfo(q.dtype).tiny).log()
    return (torch.xlogy(p, p) - p * log_q).sum(dim=1).mean()
