"""Links between samples: pairs that must, or cannot, lie in one cluster."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.objectives.precision import at_least_single, without_autocast

__all__ = ["link_loss"]


def link_loss(p: Tensor, q: Tensor, must: Tensor, weight: Tensor) -> Tensor:
    """Minus the log-probability that linked pairs are together, or apart (spec deepcluster, after S11).

    With s = Σ_k p_k q_k, the probability of one cluster for both: -ln s where they must, -ln(1 - s) where they
    cannot. 1 - s is summed as Σ_k p_k Σ_{j≠k} q_j, so that near certainty no digits are lost.

    Parameters
    ----------
    p : Tensor, shape (n, k)
        Soft assignments, rows sum to 1.
    q : Tensor, shape (n, k)
        The partners' assignments, constants.
    must : Tensor of bool, shape (n,)
        Whether a pair must be together; else it cannot be.
    weight : Tensor, shape (n,)
        Weight of each pair; 0 for a sample without a partner.

    Returns
    -------
    Tensor, shape ()
        The mean over the n samples of weighted losses.

    Examples
    --------
    >>> p, q = torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    >>> link_loss(p, q, torch.tensor([True, False]), torch.ones(2))
    tensor(0.6931)
    """
    p, q = at_least_single(p), at_least_single(q.detach())
    others = 1 - torch.eye(q.shape[1], dtype=q.dtype, device=q.device)
    with without_autocast(q):
        facing = torch.where(must[:, None], q, q @ others)
    chance = (p * facing).sum(dim=1)
    losses = -chance.clamp(min=torch.finfo(chance.dtype).tiny).log()
    return (losses * at_least_single(weight)).mean()
