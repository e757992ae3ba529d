"""Neural mixture: relevance scores normalised over the batch, their posteriors, and the EM and consistency losses.

The same functions serve clusters, scores of shape ``(n, k)``, and gates of parallel paths, ``(n, m, k)``: statistics
run over the first axis, clusters along the last, and losses are summed over the gates between.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nervure.errors import InputError
from nervure.objectives.precision import at_least_single

__all__ = ["consistency_loss", "densities", "em_loss", "moments", "normalise", "normalise_with", "posterior"]

GAMMA = 5.0


def moments(a: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance of each column over the batch (spec neural-mixture-clustering, Eq 4.11).

    >>> moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    (tensor([2., 5.]), tensor([1., 0.]))
    """
    mean, _, variance = _centred(a)
    return mean, variance


def normalise(a: Tensor, eps: float = 1e-5) -> Tensor:
    """Scores of mean 0 and variance 1 in each column over the batch (spec neural-mixture-clustering, 2.2, Eq 4.11).

    Gradients flow through both statistics; without that all columns become equal. A constant column gives zeros.

    Parameters
    ----------
    a : Tensor, shape (n, k) or (n, ..., k)
        Raw scores.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor, shape of ``a``

    Examples
    --------
    >>> normalise(torch.tensor([[1.0, 7.0], [3.0, 7.0]]), eps=0.0)
    tensor([[-1.,  0.],
            [ 1.,  0.]])
    """
    _, centred, variance = _centred(a)
    return centred * _inverse_root(variance, eps)


def normalise_with(a: Tensor, mean: Tensor, variance: Tensor, eps: float = 1e-5) -> Tensor:
    """Scores normalised with stored statistics, as at inference (spec neural-mixture-clustering, 2.8).

    >>> normalise_with(torch.tensor([[3.0]]), torch.tensor([1.0]), torch.tensor([4.0]), eps=0.0)
    tensor([[1.]])
    """
    return (at_least_single(a) - mean) * _inverse_root(variance, eps)


def posterior(
    normal: Tensor,
    log_prior: Tensor | None = None,
    *,
    variant: Literal["softmax", "ratio"] = "softmax",
    gamma: float | None = None,
) -> Tensor:
    """Memberships from normalised scores (spec neural-mixture-clustering, 2.3, Eq 4.20 and 4.18).

    Parameters
    ----------
    normal : Tensor, shape (n, k) or (n, ..., k)
        Normalised scores.
    log_prior : Tensor, shape (k,) or (..., k), optional
        ln π; without it all clusters are as likely.
    variant : {"softmax", "ratio"}
        ``softmax(a*)``, which the method uses; or the ratio of densities of Eq 4.19, which is too flat to cluster.
    gamma : float, optional
        Temperature: 1 for softmax and 5 for the ratio unless given.

    Returns
    -------
    Tensor, shape of ``normal``
        Sums to 1 over the last axis.

    Examples
    --------
    >>> posterior(torch.tensor([[1.0, 0.0]]))
    tensor([[0.7311, 0.2689]])
    >>> posterior(torch.tensor([[1.0, 0.0]]), torch.tensor([0.25, 0.75]).log())
    tensor([[0.4754, 0.5246]])
    """
    normal = at_least_single(normal)
    if variant == "softmax":
        scores = normal if gamma is None else normal / gamma
    elif variant == "ratio":
        scores = functional.logsigmoid(normal / (GAMMA if gamma is None else gamma))
    else:
        raise InputError(f"posterior: variant {variant!r}; give 'softmax' or 'ratio'")
    return (scores if log_prior is None else scores + log_prior).softmax(dim=-1)


def densities(normal: Tensor, gamma: float = GAMMA) -> Tensor:
    """Component values h = sigmoid(a*/γ), in (0, 1) (spec neural-mixture-clustering, Eq 4.12 and 4.21).

    >>> densities(torch.tensor([[0.0, 5.0]]))
    tensor([[0.5000, 0.7311]])
    """
    return (at_least_single(normal) / gamma).sigmoid()


def em_loss(
    normal: Tensor,
    posterior: Tensor,
    gamma: float = GAMMA,
    copies: Tensor | None = None,
    log_prior: Tensor | None = None,
    variant: Literal["em", "joint"] = "em",
) -> Tensor:
    """Minus the expected log-density under the memberships (spec neural-mixture-clustering, 2.4, 2.5, Eq 4.22, 4.23).

    Parameters
    ----------
    normal : Tensor, shape (n, k) or (n, ..., k)
        Normalised scores.
    posterior : Tensor, shape of ``normal``
        Memberships of the originals.
    gamma : float
        Temperature γ of the densities.
    copies : Tensor, shape of ``normal``, optional
        Scores of transformed copies, normalised with their own statistics.
    log_prior : Tensor, shape (k,) or (..., k), optional
        ln π; adds ``-Σ p ln π``, which has no gradient.
    variant : {"em", "joint"}
        Memberships are constants of the M-step; or gradients flow through them too.

    Returns
    -------
    Tensor, shape ()
        The mean over samples.

    Examples
    --------
    >>> scores = normalise(torch.eye(4), eps=0.0)
    >>> round(float(em_loss(scores, posterior(scores))), 6)
    0.584839
    """
    if variant not in ("em", "joint"):
        raise InputError(f"em_loss: variant {variant!r}; give 'em' or 'joint'")
    p = at_least_single(posterior.detach() if variant == "em" else posterior)
    value = functional.logsigmoid(at_least_single(normal) / gamma)
    if copies is not None:
        value = value + functional.logsigmoid(at_least_single(copies) / gamma)
    loss = _over_samples(-p * value)
    if log_prior is not None:
        held = p.detach()
        loss = loss - _over_samples(torch.where(held > 0, held * log_prior.detach(), 0.0))
    return loss


def consistency_loss(posterior: Tensor, copy_normal: Tensor, log_prior: Tensor | None = None) -> Tensor:
    """KL of a copy's memberships from the original's (spec neural-mixture-clustering, 2.6, Eq 4.24).

    Parameters
    ----------
    posterior : Tensor, shape (n, k) or (n, ..., k)
        Memberships of the originals, a constant.
    copy_normal : Tensor, same shape
        Normalised scores of the copies.
    log_prior : Tensor, shape (k,) or (..., k), optional
        ln π, where it made the originals' memberships.

    Returns
    -------
    Tensor, shape ()
        The mean over samples.

    Examples
    --------
    >>> p = torch.tensor([[1.0, 0.0]])
    >>> consistency_loss(p, torch.tensor([[0.0, 0.0]]))
    tensor(0.6931)
    """
    p, scores = at_least_single(posterior.detach()), at_least_single(copy_normal)
    log_q = (scores if log_prior is None else scores + log_prior.detach()).log_softmax(dim=-1)
    return _over_samples(torch.xlogy(p, p) - torch.where(p > 0, p * log_q, 0.0))


def _over_samples(values: Tensor) -> Tensor:
    """Sum over all axes but the first, mean over the first."""
    return values.flatten(1).sum(dim=1).mean()


def _centred(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, scores less their mean, variance; counted from the first row, so that large offsets cost no digits."""
    a = at_least_single(a)
    start = a[0].detach()
    off = a - start
    middle = off.mean(dim=0)
    centred = off - middle
    return start + middle, centred, centred.square().mean(dim=0)


def _inverse_root(variance: Tensor, eps: float) -> Tensor:
    """1 / sqrt(variance + eps); 1 where that is 0, so that a constant column has no NaN in value or gradient."""
    total = at_least_single(variance) + eps
    return torch.where(total > 0, total, 1.0).rsqrt()
