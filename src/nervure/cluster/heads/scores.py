"""ScoresHead: the network's own scores as component densities, learned by mini-batch EM (spec neural-mixture, 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nervure.cluster.heads.dense import DenseHead
from nervure.cluster.heads.head import Group, Refreshed
from nervure.cluster.quiet import evaluated
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.parts import choose
from nervure.objectives import scores
from nervure.objectives.precision import without_autocast
from nervure.train.runtime import sum_over_ranks

__all__ = ["ScoresHead"]


class ScoresHead(DenseHead):
    """A dense layer whose normalised outputs are the clusters' relevance.

    Scores are normalised over the batch while training, with gradient, and by the statistics of the whole training
    set otherwise; those are measured at each phase, on originals alone.

    Parameters
    ----------
    gamma : float
        Temperature of the densities (Eq 4.12).
    priors : bool
        Whether cluster weights follow the mean posterior; for clusters of unequal size.
    normalise : str
        ``batch``; ``detached`` and ``none`` are known to collapse, and are there to show it (2.7).
    goal : str
        ``em``; or ``consistency``: copies follow the originals' posteriors, and nothing else is learned (2.6, steps 3
        to 5 alone), which finds no clusters.
    memory : float
        Share of the old priors that a step keeps.
    patience : int
        A cluster that held less than a fifth of an even share, or doubled another, for so many phases in a row has its
        row of the layer drawn anew (8, pitfalls); 0 for never.

    Examples
    --------
    >>> head = ScoresHead(3, 2)
    >>> head.begin(Group.alone(torch.randn(20, 2)))
    >>> head.eval()(torch.zeros(4, 2)).exp().sum(dim=1).round(decimals=4).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    prior: Tensor
    weak: Tensor

    def __init__(
        self,
        clusters: int,
        latent: int,
        gamma: float = 5.0,
        priors: bool = False,
        normalise: str = "batch",
        memory: float = 0.9,
        patience: int = 5,
        goal: str = "em",
    ) -> None:
        super().__init__(clusters, latent)
        choose("normalise", normalise, ("batch", "detached", "none"))
        choose("goal", goal, ("em", "consistency"))
        if not gamma > 0 or not 0 <= memory < 1:
            raise InputError(f"gamma = {gamma}, memory = {memory}; give a gamma above 0, a memory from 0 to below 1")
        self.gamma, self.priors, self.mode, self.memory = gamma, priors, normalise, memory
        self.goal = goal
        # momentum 0: batches use their own statistics and leave the stored ones, which a phase measures exactly
        self.norm = nn.BatchNorm1d(clusters, affine=False, momentum=0.0)
        self.patience = patience
        self.register_buffer("prior", torch.full((clusters,), 1 / clusters))
        self.register_buffer("weak", torch.zeros(clusters, dtype=torch.int64))

    def normal(self, latents: Tensor) -> Tensor:
        """Normalised scores a* (n, clusters), in the precision of the layer's weights (Eq 4.11)."""
        with without_autocast(latents):
            raw: Tensor = self.linear(latents.to(self.linear.weight.dtype))
            if self.mode == "none":
                return raw
            if self.mode == "detached" and self.training:
                mean, variance = raw.detach().mean(dim=0), raw.detach().var(dim=0, unbiased=False)
                fixed: Tensor = (raw - mean) * (variance + self.norm.eps).rsqrt()
                return fixed
            out: Tensor = self.norm(raw)
            return out

    @property
    def log_prior(self) -> Tensor | None:
        """ln π (clusters,), which makes posteriors together with the scores; None where all clusters weigh the same."""
        return self.prior.log() if self.priors else None

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log posteriors (n, clusters) (Eq 4.20)."""
        normal, log_prior = self.normal(latents), self.log_prior
        return (normal if log_prior is None else normal + log_prior).log_softmax(dim=1)

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """The EM loss, with copies if there are any (Eq 4.22, 4.23); or what makes copies agree alone (Eq 4.24)."""
        normal = self.normal(latents)
        log_prior = self.log_prior
        with torch.no_grad():
            posterior = scores.posterior(normal, log_prior)
        beside = self.normal(copies) if copies is not None else None
        if self.priors and self.training:
            self._follow(posterior)
        if self.goal == "consistency":
            return scores.consistency_loss(posterior, normal if beside is None else beside, log_prior)
        return scores.em_loss(normal, posterior, self.gamma, copies=beside, log_prior=log_prior)

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """Measure the scores' statistics."""
        self._measure(group)
        self.active.fill_(True)

    @torch.no_grad()
    def refresh(self, group: Group, epoch: int) -> Refreshed:
        """Measure the scores' statistics, and assign by them; a cluster weak for too long starts anew."""
        self._measure(group)
        chosen = self.assign(group.latents)
        with evaluated(self):
            notes = self._reset(chosen, group, epoch)
        if notes:
            self._measure(group)
            chosen = self.assign(group.latents)
        return Refreshed(chosen, repaired=notes, renewed=(self.linear.weight, self.linear.bias) if notes else ())

    def _reset(self, chosen: Tensor, group: Group, epoch: int) -> tuple[str, ...]:
        """Draw the rows of clusters anew that were dead, or doubled another, at ``patience`` phases in a row."""
        sizes = group.reduce(torch.bincount(chosen, minlength=self.clusters).to(torch.float64))
        bad = (sizes * 5 * self.clusters < group.total).to(self.weak.device) | self._doubled(group)
        self.weak.copy_(torch.where(bad, self.weak + 1, torch.zeros_like(self.weak)))
        spent = torch.nonzero(self.weak >= self.patience).flatten().tolist() if self.patience and not group.last else []
        width = self.linear.weight.shape[1]
        bound = width**-0.5
        for cluster in spent:
            generator = torch.Generator().manual_seed((group.seed * 1_000_003 + epoch * 1009 + cluster) % 2**63)
            row = (torch.rand(width, generator=generator) * 2 - 1) * bound
            self.linear.weight[cluster] = row.to(self.linear.weight)
            self.linear.bias[cluster] = 0
            self.weak[cluster] = 0
            self.prior[cluster] = 1 / self.clusters  # one near 0 would never let it have a sample again
        self.prior.div_(self.prior.sum())
        return tuple(f"cluster {cluster} reset" for cluster in spent)

    def _doubled(self, group: Group) -> Tensor:
        """Columns of scores that correlate above 0.95 with an earlier one."""
        wide = self.norm(self.linear(group.latents)).to(torch.float64)
        shared = group.reduce(wide.T @ wide) / max(1, group.total)
        return (torch.tril(shared, diagonal=-1) > 0.95).any(dim=1)

    @torch.no_grad()
    def _measure(self, group: Group) -> None:
        mean, variance = group.moments(self.linear(group.latents))
        assert self.norm.running_mean is not None and self.norm.running_var is not None
        self.norm.running_mean.copy_(mean)
        self.norm.running_var.copy_(variance)

    @torch.no_grad()
    def _follow(self, posterior: Tensor) -> None:
        """Priors from the last steps' posteriors (2.3), over all processes."""
        mine = torch.cat([posterior.sum(dim=0), posterior.new_tensor([float(len(posterior))])])
        found = sum_over_ranks(mine * self.counted)
        self.prior.lerp_(found[:-1] / found[-1].clamp(min=1), 1 - self.memory)
        self.prior.clamp_(min=1e-6).div_(self.prior.sum())
