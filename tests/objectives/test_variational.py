from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Tensor

from nervure.objectives.variational import (
    latent_cost,
    latent_entropy,
    membership,
    membership_cost,
    reparameterise,
    vade_loss,
)

N, D, K = 4, 3, 5


def parts() -> dict[str, Tensor]:
    draw = np.random.default_rng(0)
    made = {
        "mean": draw.normal(size=(N, D)),
        "log_variance": draw.normal(size=(N, D)) / 2,
        "gamma": draw.dirichlet(np.ones(K), N),
        "weights": draw.dirichlet(np.ones(K)),
        "means": draw.normal(size=(K, D)),
        "log_variances": draw.normal(size=(K, D)) / 2,
    }
    return {name: torch.from_numpy(one) for name, one in made.items()}


def log_components(z: np.ndarray, given: dict[str, Tensor]) -> np.ndarray:
    """ln N(z | μ_c, σ_c²) by scipy, shape (..., K)."""
    deviation = np.exp(given["log_variances"].numpy() / 2)
    return norm.logpdf(z[..., None, :], given["means"].numpy(), deviation).sum(-1)


def test_every_term_by_monte_carlo() -> None:
    """KL(q(z, c|x) ‖ p(z, c)) and its parts, from draws of z and densities by scipy; within five standard errors."""
    given = parts()
    mean, deviation = given["mean"].numpy(), np.exp(given["log_variance"].numpy() / 2)
    z = mean + deviation * np.random.default_rng(1).normal(size=(20000, N, D))
    gamma, weights = given["gamma"].numpy(), given["weights"].numpy()
    prior = (gamma * log_components(z, given)).sum(-1)
    own = norm.logpdf(z, mean, deviation).sum(-1)
    cost = latent_cost(given["mean"], given["log_variance"], given["gamma"], given["means"], given["log_variances"])
    for found, draws in ((cost, -prior), (latent_entropy(given["log_variance"]), -own)):
        error = draws.std(0) / np.sqrt(len(draws))
        assert (np.abs(found.numpy() - draws.mean(0)) < 5 * error).all()
    discrete = (gamma * np.log(gamma / weights)).sum(1)
    np.testing.assert_allclose(membership_cost(given["gamma"], given["weights"]), discrete, rtol=1e-10)
    whole = (own - prior).mean(1) + discrete.mean()
    found = vade_loss(torch.tensor(2.0), **given)
    assert abs(float(found) - 2.0 - whole.mean()) < 5 * whole.std() / np.sqrt(len(whole))
    less = vade_loss(torch.tensor(2.0), **given, strength=0.25)
    assert float(less) - 2.0 == pytest.approx((float(found) - 2.0) / 4)


def test_membership_as_scipy() -> None:
    given = parts()
    joint = log_components(given["mean"].numpy(), given) + np.log(given["weights"].numpy())
    expected = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    found = membership(given["mean"], given["weights"], given["means"], given["log_variances"])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_membership_makes_the_bound_tight() -> None:
    """Where q(z|x) is a point, no other γ gives less, and the bound is minus the mixture's log-density."""
    given = parts()
    mixture = [given[name] for name in ("weights", "means", "log_variances")]
    point = torch.full((N, D), -60.0, dtype=torch.float64)
    best = membership(given["mean"], *mixture)

    def bound(gamma: Tensor) -> float:
        cost = latent_cost(given["mean"], point, gamma, *mixture[1:]) + membership_cost(gamma, mixture[0])
        return float(cost.sum())

    joint = log_components(given["mean"].numpy(), given) + np.log(given["weights"].numpy())
    assert bound(best) == pytest.approx(-logsumexp(joint, axis=1).sum(), rel=1e-9)
    assert bound(best) < bound(given["gamma"])
    assert bound(best) < bound(0.99 * best + 0.01 / K)


def test_a_latent_that_is_the_prior_costs_nothing() -> None:
    zeros, ones = torch.zeros(3, 2), torch.ones(3, 1)
    loss = vade_loss(torch.tensor(0.0), zeros, zeros, ones, torch.ones(1), torch.zeros(1, 2), torch.zeros(1, 2))
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_draws() -> None:
    given = parts()
    noise = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = given["mean"].numpy() + np.sqrt(np.exp(given["log_variance"].numpy())) * noise.numpy()
    np.testing.assert_allclose(reparameterise(given["mean"], given["log_variance"], noise), expected)


def test_gradients_reach_encoder_and_mixture() -> None:
    given = parts()
    noise = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = given["weights"].log()
    names = ("mean", "log_variance", "means", "log_variances")
    free = [given[name].clone().requires_grad_() for name in names] + [scores.requires_grad_()]

    def loss(mean: Tensor, log_variance: Tensor, means: Tensor, log_variances: Tensor, scores: Tensor) -> Tensor:
        weights = scores.softmax(0)
        z = reparameterise(mean, log_variance, noise)
        gamma = membership(z, weights, means, log_variances)
        return vade_loss(z.square().sum(1), mean, log_variance, gamma, weights, means, log_variances, strength=0.5)

    assert torch.autograd.gradcheck(loss, free)
    assert all(one.abs().max() > 0 for one in torch.autograd.grad(loss(*free), free))


def test_empty_components_and_certainty() -> None:
    z = torch.tensor([[1e4, -1e4], [0.0, 0.0]], requires_grad=True)
    weights = torch.tensor([0.5, 0.5, 0.0], requires_grad=True)
    means = torch.tensor([[0.0, 0.0], [1e4, 1e4], [0.0, 0.0]], requires_grad=True)
    flat = torch.zeros(3, 2)
    gamma = membership(z, weights, means, flat)
    loss = vade_loss(torch.tensor(0.0), z, torch.zeros(2, 2), gamma, weights, means, flat)
    loss.backward()
    assert torch.equal(gamma[:, 2].detach(), torch.zeros(2))
    assert torch.isfinite(loss) and torch.isfinite(z.grad).all() and torch.isfinite(means.grad).all()
