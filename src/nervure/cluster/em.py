"""Closed-form mixture steps: sums that merge over batches and processes, one EM step (spec deepcluster, S4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.errors import DivergedError
from nervure.objectives.gaussians import log_joint, responsibilities

__all__ = ["Mixture", "MixtureSums", "of_assignment", "step", "sums"]

CHUNK = 16_384
"""Latents whose outer products are held at once."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights (k,), means (k, d), covariances (k, d, d), float64; of a diagonal mixture off-diagonals are 0."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def factors(self) -> Tensor:
        """Lower Cholesky factors (k, d, d); a covariance that is not positive gets the smallest help that works."""
        if not bool(torch.isfinite(self.covariances).all()):
            raise DivergedError("training diverged: covariances of the mixture are not finite; lower lr, or set clip")
        found, failed = torch.linalg.cholesky_ex(self.covariances)
        help_ = 1e-10
        eye = torch.eye(self.means.shape[1], dtype=self.means.dtype, device=self.means.device)
        while bool((failed > 0).any()):
            scale = self.covariances.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=1e-12)[:, None, None]
            found, failed = torch.linalg.cholesky_ex(self.covariances + help_ * scale * eye)
            help_ *= 10
        lower: Tensor = found
        return lower

    def whitening(self) -> Tensor:
        """Inverses of the Cholesky factors (k, d, d)."""
        eye = torch.eye(self.means.shape[1], dtype=self.means.dtype, device=self.means.device)
        inverse: Tensor = torch.linalg.solve_triangular(self.factors(), eye.expand_as(self.covariances), upper=False)
        return inverse

    def log_joint(self, latents: Tensor) -> Tensor:
        """ln pi_k N(h | mu_k, Sigma_k): (n, k)."""
        return log_joint(latents, self.weights.to(latents), self.means.to(latents), self.factors().to(latents))


@dataclass(frozen=True, eq=False)
class MixtureSums:
    """Sufficient statistics of one M step about the old means: masses (k,), first (k, d) and second (k, d, d) moments.

    Moments about the old means keep their digits where latents lie far from 0. ``likelihood`` is the summed log
    likelihood.
    """

    masses: Tensor
    first: Tensor
    second: Tensor
    likelihood: Tensor

    def packed(self) -> Tensor:
        """All numbers in one tensor, which can be added to another's."""
        parts = [self.masses, self.first.flatten(), self.second.flatten(), self.likelihood.reshape(1)]
        return torch.cat(parts)

    @classmethod
    def unpacked(cls, packed: Tensor, clusters: int, dims: int) -> MixtureSums:
        """From what :meth:`packed` gave."""
        masses, first, second, likelihood = packed.split([clusters, clusters * dims, clusters * dims * dims, 1])
        return cls(masses, first.view(clusters, dims), second.view(clusters, dims, dims), likelihood[0])


def sums(latents: Tensor, mixture: Mixture, assigned: Tensor | None = None) -> MixtureSums:
    """The E step, summed (Eq 3.10): with ``assigned`` (n,) every latent belongs to its cluster alone."""
    k, d = mixture.means.shape
    wide = mixture.means
    masses = wide.new_zeros(k)
    first, second = wide.new_zeros(k, d), wide.new_zeros(k, d, d)
    likelihood = wide.new_zeros(())
    for start in range(0, len(latents), CHUNK):
        part = latents[start : start + CHUNK].to(wide)
        if assigned is None:
            joint = mixture.log_joint(part)
            gamma = responsibilities(joint)
            likelihood = likelihood + joint.logsumexp(dim=1).sum()
        else:
            gamma = torch.nn.functional.one_hot(assigned[start : start + CHUNK], k).to(wide)
        masses = masses + gamma.sum(dim=0)
        for one in range(k):
            away = part - mixture.means[one]
            weighted = away * gamma[:, one, None]
            first[one] += weighted.sum(dim=0)
            second[one] += weighted.T @ away
    return MixtureSums(masses, first, second, likelihood)


def step(found: MixtureSums, old: Mixture, floor: float, diagonal: bool = False) -> Mixture:
    """The M step (Eq 3.11 to 3.13): covariances about the new means, with ``floor`` added to their diagonals.

    >>> start = Mixture(torch.ones(1).double(), torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    >>> made = step(sums(torch.tensor([[1.0], [3.0]]), start), start, floor=0.0)
    >>> round(made.means.item(), 9), round(made.covariances.item(), 9), made.weights.item()
    (2.0, 1.0, 1.0)
    """
    mass = found.masses + 10 * torch.finfo(torch.float64).eps
    shift = found.first / mass[:, None]
    covariances = found.second / mass[:, None, None] - shift[:, :, None] * shift[:, None, :]
    covariances = (covariances + covariances.transpose(1, 2)) / 2
    if diagonal:
        covariances = torch.diag_embed(covariances.diagonal(dim1=1, dim2=2))
    eye = torch.eye(old.means.shape[1], dtype=torch.float64, device=old.means.device)
    weights = (mass / mass.sum()).clamp(min=1e-8)
    return Mixture(weights / weights.sum(), old.means + shift, covariances + floor * eye)


def of_assignment(latents: Tensor, assigned: Tensor, means: Tensor, floor: float, diagonal: bool = False) -> Mixture:
    """A first mixture: means as given, each covariance that of its members, or of all if they are too few."""
    k, d = means.shape
    wide = means.to(torch.float64)
    flat = Mixture(torch.full((k,), 1 / k, dtype=torch.float64, device=wide.device), wide, wide.new_zeros(k, d, d))
    found = sums(latents, flat, assigned)
    own = step(found, flat, floor, diagonal).covariances
    centred = latents.to(wide) - latents.to(wide).mean(dim=0)
    whole = centred.T @ centred / max(1, len(latents)) + floor * torch.eye(d, dtype=torch.float64, device=wide.device)
    if diagonal:
        whole = torch.diag(whole.diagonal())
    few = found.masses < d + 2
    covariances = torch.where(few[:, None, None], whole, own)
    weights = (found.masses / max(1, len(latents))).clamp(min=1e-8)
    return Mixture(weights / weights.sum(), wide, covariances)
