from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from nervure.cluster.heads import Group
from nervure.cluster.heads.variational import VariationalHead
from nervure.data.dataset import Batch

BATCH = Batch(torch.zeros(4, 1), None, torch.arange(4))


@pytest.fixture
def head(latents: Tensor) -> VariationalHead:
    found = VariationalHead(4, 3)
    found.begin(Group.alone(latents))
    return found


def test_memberships_are_those_of_the_mixture_it_begins_with(head: VariationalHead, latents: Tensor) -> None:
    model = GaussianMixture(4, covariance_type="diag", reg_covar=1e-3, n_init=3, random_state=0)
    model.fit(latents.double().numpy())
    assert np.allclose(head(latents).detach().exp().numpy(), model.predict_proba(latents.double().numpy()), atol=1e-3)
    assert head.weights.sum().item() == pytest.approx(1, abs=1e-6)


def test_loss_of_one_component_is_the_divergence_of_two_gaussians() -> None:
    """KL(N(m, s²) || N(0, 1)) = (m² + s² - 1 - ln s²) / 2, a value at a time."""
    head = VariationalHead(1, 2).eval()
    with torch.no_grad():
        head.spread.bias.copy_(torch.tensor([0.5, -1.0]))
    latents = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    variance = np.exp([0.5, -1.0])
    expected = np.mean([(row**2 + variance - 1 - np.log(variance)).sum() / 2 for row in latents.numpy()])
    assert head.loss(latents, BATCH).item() == pytest.approx(expected, abs=1e-5)


def test_loss_of_many_components_is_between_its_bounds(head: VariationalHead, latents: Tensor) -> None:
    """With γ = p(c | mean) the divergence is at least ln q - ln p(z), averaged over draws from q (Jensen)."""
    head.eval()
    some = latents[:3]
    with torch.no_grad():
        loss = float(head.loss(some, BATCH))
        deviation = (head.log_variance(some) / 2).exp()
        q = torch.distributions.Normal(some, deviation)
        draws = q.sample((20_000,))
        parts = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(head.weights),
            torch.distributions.Independent(torch.distributions.Normal(head.means, (head.log_variances / 2).exp()), 1),
        )
        least = float((q.log_prob(draws).sum(dim=2) - parts.log_prob(draws)).mean())
    assert least - 0.02 < loss < least + 1


def test_draws_while_training_means_otherwise(head: VariationalHead, latents: Tensor) -> None:
    torch.manual_seed(0)
    drawn = torch.stack([head.train().code(latents[:5]) for _ in range(4000)]).detach()
    assert torch.allclose(drawn.mean(dim=0), latents[:5], atol=0.1)
    expected = head.log_variance(latents[:5]).exp().sqrt().detach()
    assert torch.allclose(drawn.std(dim=0), expected, rtol=0.1)
    assert torch.equal(head.eval().code(latents), latents)
    fresh = VariationalHead(4, 3).train()
    assert torch.equal(fresh.code(latents), latents), "a warm-up knows of no draws"


def test_noise_begins_as_a_share_of_the_components_own(latents: Tensor) -> None:
    head = VariationalHead(4, 3, spread=0.3)
    head.begin(Group.alone(latents))
    typical = (head.weights @ head.log_variances.exp()).sqrt().detach()
    assert torch.allclose((head.log_variance(latents[:5]) / 2).exp(), 0.3 * typical.expand(5, 3), rtol=1e-4)
    torch.nn.init.eye_(head.spread.weight)
    assert head.log_variance(torch.tensor([[1e6, -1e6, 0.0]])).detach()[0, :2].tolist() == [15, -15]


def test_memberships_are_of_draws_while_training(head: VariationalHead, latents: Tensor) -> None:
    torch.manual_seed(0)
    drawn = {float(head.train().loss(latents[:9], BATCH).detach()) for _ in range(3)}
    plain = {float(head.eval().loss(latents[:9], BATCH).detach()) for _ in range(3)}
    assert (len(drawn), len(plain)) == (3, 1)


def test_everything_is_trained(head: VariationalHead, latents: Tensor) -> None:
    torch.manual_seed(0)
    leaf = latents[:50].clone().requires_grad_()
    head.train().loss(leaf, BATCH).backward()
    assert float(leaf.grad.abs().sum()) > 0
    for name, parameter in head.named_parameters():
        assert float(parameter.grad.abs().sum()) > 0, name


def test_moving_latents_and_means_changes_nothing(head: VariationalHead, latents: Tensor) -> None:
    before = head(latents).detach()
    with torch.no_grad():
        head.means += 3
    assert torch.allclose(head(latents + 3), before, atol=1e-3)
