"""Clusters as centres: squared distances, and the pull of each latent to its own centre (DCAE-Kmeans, AEC, DCN)."""

from __future__ import annotations

import torch
from torch import Tensor

from nervure.objectives.precision import at_least_single

__all__ = ["centre_loss", "squared_distances"]


def squared_distances(h: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distance of every latent to every centre (spec deepcluster, Eq 3.6 and 10.4).

    By differences, not by an expanded square: never negative, exact for latents far from the origin, the same for a
    sample in whatever batch it comes, and equal for equal centres, so that ``argmin`` takes the lowest index.

    Parameters
    ----------
    h : Tensor, shape (n, d)
        Latents.
    centres : Tensor, shape (k, d)
        Centres; a gradient reaches them where they ask for one.

    Returns
    -------
    Tensor, shape (n, k)

    Examples
    --------
    >>> h = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> squared_distances(h, torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    tensor([[ 0.,  9.],
            [25., 16.]])
    """
    h, centres = at_least_single(h), at_least_single(centres)
    kind = torch.promote_types(h.dtype, centres.dtype)
    h, centres = h.to(kind), centres.to(kind)
    if torch.compiler.is_compiling():
        # cdist has no form in exported graphs
        return (h[:, None] - centres).square().sum(dim=2)
    return torch.cdist(h, centres, compute_mode="donot_use_mm_for_euclid_dist").square()


def centre_loss(h: Tensor, centres: Tensor, assigned: Tensor) -> Tensor:
    """E2 without its weight: squared distance to the assigned centre (spec deepcluster, Eq 2.18, 3.4, 4.2).

    The sum over latent dimensions, the mean over samples. Centres are constants: no gradient reaches them.

    Parameters
    ----------
    h : Tensor, shape (n, d)
        Latents.
    centres : Tensor, shape (k, d)
        Centres.
    assigned : Tensor of int64, shape (n,)
        The centre of each sample.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> h = torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    >>> centre_loss(h, torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1]))
    tensor(8.5000)
    """
    own = at_least_single(centres.detach())[assigned.to(centres.device)]
    return (at_least_single(h) - own.to(h.device)).square().sum(dim=1).mean()
