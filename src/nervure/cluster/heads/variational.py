"""VariationalHead: the prior of a variational auto-encoder, a mixture of Gaussians (VaDE)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nervure.cluster import lloyd
from nervure.cluster.heads.head import Group, Head
from nervure.data.dataset import Batch
from nervure.objectives.gaussians import log_joint
from nervure.objectives.variational import membership, reparameterise, vade_loss

__all__ = ["VariationalHead"]


class VariationalHead(Head):
    """A mixture of diagonal Gaussians whose parameters are trained with the network (Jiang et al. 2017).

    The latents are the means of q(z | x). Their log-variances are a linear function of them, which is the head's
    own: so any auto-encoder serves, and what is deployed needs no second output. While training the decoder reads
    draws, otherwise means.

    Parameters
    ----------
    floor : float
        Added to the first components' variances.
    spread : float
        First standard deviation of q(z | x), as a share of the components' own.

    Examples
    --------
    >>> head = VariationalHead(2, 1)
    >>> head.begin(Group.alone(torch.tensor([[0.0], [1.0], [8.0], [9.0]])))
    >>> head(torch.tensor([[0.5], [8.5]])).exp().round().sum(dim=0).tolist()
    [1.0, 1.0]
    """

    def __init__(self, clusters: int, latent: int, floor: float = 1e-3, spread: float = 0.5) -> None:
        super().__init__(clusters, latent)
        self.floor, self.share = floor, spread
        self.log_weights = nn.Parameter(torch.zeros(clusters))
        self.means = nn.Parameter(torch.zeros(clusters, latent))
        self.log_variances = nn.Parameter(torch.zeros(clusters, latent))
        self.spread = nn.Linear(latent, latent)
        nn.init.zeros_(self.spread.weight)
        nn.init.zeros_(self.spread.bias)

    @property
    def weights(self) -> Tensor:
        """Cluster weights (clusters,), which sum to 1."""
        return self.log_weights.softmax(dim=0)

    def log_variance(self, latents: Tensor) -> Tensor:
        """Log-variances of q(z | x) (n, latent)."""
        out: Tensor = self.spread(latents)
        return out.clamp(-15, 15)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent) -> log memberships (n, clusters) of the means."""
        deviations = (self.log_variances / 2).exp()
        return log_joint(latents, self.weights, self.means, deviations, frozen=False).log_softmax(dim=1)

    def code(self, latents: Tensor) -> Tensor:
        """A draw from q(z | x) while training, once the head is active; else its mean."""
        if not self.training or not bool(self.active):
            return latents
        return self._draw(latents)

    def loss(self, latents: Tensor, batch: Batch, copies: Tensor | None = None) -> Tensor:
        """KL(q(z, c | x) || p(z, c)): the evidence bound without the reconstruction (Jiang et al. 2017, Eq 12)."""
        drawn = self._draw(latents) if self.training else latents
        gamma = membership(drawn, self.weights, self.means, self.log_variances)
        nothing = latents.new_zeros(())
        return vade_loss(
            nothing, latents, self.log_variance(latents), gamma, self.weights, self.means, self.log_variances
        )

    @torch.no_grad()
    def begin(self, group: Group) -> None:
        """A mixture fitted to latents that a warm-up has made."""
        from sklearn.mixture import GaussianMixture

        some = group.sample(lloyd.FULL_SAMPLE).numpy()
        model = GaussianMixture(
            self.clusters,
            covariance_type="diag",
            reg_covar=self.floor,
            n_init=3,
            random_state=group.seed % 2**32,
        ).fit(some)
        self.log_weights.copy_(torch.from_numpy(model.weights_).clamp(min=1e-8).log())
        self.means.copy_(torch.from_numpy(model.means_))
        self.log_variances.copy_(torch.from_numpy(model.covariances_).log())
        typical = (self.weights[:, None] * self.log_variances.exp()).sum(dim=0)
        self.spread.weight.zero_()
        self.spread.bias.copy_((typical * self.share**2).log())
        self.active.fill_(True)

    def prototypes(self) -> Tensor:
        """The components' means."""
        return self.means

    def _draw(self, latents: Tensor) -> Tensor:
        return reparameterise(latents, self.log_variance(latents), torch.randn_like(latents))
