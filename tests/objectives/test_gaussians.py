from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from nervure.errors import InputError
from nervure.objectives.centres import centre_loss
from nervure.objectives.gaussians import log_joint, log_joint_whitened, negative_log_likelihood, responsibilities


def mixture(k: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """π, μ and Σ of k components, in float64."""
    draw = np.random.default_rng(seed)
    roots = draw.normal(size=(k, d, d + 2))
    weights = draw.dirichlet(np.ones(k))
    sigma = roots @ roots.transpose(0, 2, 1) / d + 0.05 * np.eye(d)
    return torch.from_numpy(weights), torch.from_numpy(draw.normal(size=(k, d))), torch.from_numpy(sigma)


def latents(n: int, d: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)) * 2)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_as_scipy(n: int, k: int, d: int, seed: int) -> None:
    weights, means, sigma = mixture(k, d, seed)
    h = latents(n, d, seed)
    components = list(zip(weights.numpy(), means.numpy(), sigma.numpy(), strict=True))
    expected = np.array(
        [[np.log(w) + multivariate_normal(m, s).logpdf(row) for w, m, s in components] for row in h.numpy()]
    )
    factors = torch.linalg.cholesky(sigma)
    joint = log_joint(h, weights, means, factors)
    np.testing.assert_allclose(joint, expected, rtol=1e-9)
    np.testing.assert_allclose(log_joint_whitened(h, weights, means, torch.linalg.inv(factors)), expected, rtol=1e-9)
    evidence = logsumexp(expected, axis=1)
    assert float(negative_log_likelihood(joint)) == pytest.approx(-evidence.mean(), rel=1e-9)
    assert float(negative_log_likelihood(joint, "published")) == pytest.approx(evidence.sum(), rel=1e-9)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_as_the_mixture_of_scikit_learn(kind: str) -> None:
    h = latents(80, 3)
    model = GaussianMixture(4, covariance_type=kind, random_state=0, max_iter=5, tol=1e-9, reg_covar=1e-3)
    with pytest.warns(ConvergenceWarning):
        model.fit(h.numpy())
    covariances = torch.from_numpy(model.covariances_)
    factors = torch.linalg.cholesky(covariances) if kind == "full" else covariances.sqrt()
    joint = log_joint(h, torch.from_numpy(model.weights_), torch.from_numpy(model.means_), factors)
    np.testing.assert_allclose(joint.logsumexp(1), model.score_samples(h.numpy()), rtol=1e-10)
    np.testing.assert_allclose(responsibilities(joint), model.predict_proba(h.numpy()), atol=1e-10)
    assert float(negative_log_likelihood(joint)) == pytest.approx(-model.score(h.numpy()), rel=1e-10)


def test_rows_sum_to_one_and_components_permute() -> None:
    weights, means, sigma = mixture(5, 3)
    factors, h = torch.linalg.cholesky(sigma), latents(40, 3)
    found = responsibilities(log_joint(h, weights, means, factors))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(40, dtype=torch.float64))
    order = torch.tensor([3, 0, 4, 2, 1])
    again = responsibilities(log_joint(h, weights[order], means[order], factors[order]))
    torch.testing.assert_close(again, found[:, order])


def test_the_gradient_in_closed_form() -> None:
    """∂E3g/∂h_n = (1/N) Σ_k γ_nk Σ_k⁻¹ (h_n - μ_k)."""
    weights, means, sigma = mixture(4, 3)
    h, factors = latents(12, 3).requires_grad_(), torch.linalg.cholesky(sigma)
    joint = log_joint(h, weights, means, factors)
    (found,) = torch.autograd.grad(negative_log_likelihood(joint), h)
    gamma, at = responsibilities(joint).detach().numpy(), h.detach().numpy()
    expected = np.zeros((12, 3))
    for n in range(12):
        for k in range(4):
            expected[n] += gamma[n, k] * np.linalg.inv(sigma[k].numpy()) @ (at[n] - means[k].numpy()) / 12
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_gradients_by_finite_differences(kind: str) -> None:
    weights, means, sigma = mixture(3, 2)
    factors = torch.linalg.cholesky(sigma) if kind == "full" else sigma.diagonal(dim1=1, dim2=2).sqrt()
    h = latents(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: negative_log_likelihood(log_joint(h, weights, means, factors)), (h,))
    free = [one.clone().requires_grad_() for one in (weights, means, factors)]
    assert torch.autograd.gradcheck(
        lambda w, m, f: negative_log_likelihood(log_joint(h.detach(), w, m, f, frozen=False)), free
    )


def test_no_gradient_reaches_the_parameters() -> None:
    weights, means, sigma = mixture(3, 2)
    given_ = [one.clone().requires_grad_() for one in (weights, means, torch.linalg.cholesky(sigma))]
    h = latents(5, 2).requires_grad_()
    negative_log_likelihood(log_joint(h, *given_)).backward()
    assert h.grad.abs().min() > 0
    assert all(one.grad is None for one in given_)


def test_a_step_on_the_loss_raises_the_likelihood_and_the_printed_sign_lowers_it() -> None:
    weights, means, sigma = mixture(3, 2)
    factors = torch.linalg.cholesky(sigma)

    def gain(variant: str) -> float:
        h = latents(30, 2).requires_grad_()
        before = log_joint(h, weights, means, factors)
        (step,) = torch.autograd.grad(negative_log_likelihood(before, variant), h)
        with torch.no_grad():
            after = log_joint(h - 1e-3 * step, weights, means, factors)
        return float((after.logsumexp(1) - before.logsumexp(1)).mean())

    assert gain("corrected") > 0
    assert gain("published") < 0


def test_narrow_equal_spheres_pull_as_k_means_does() -> None:
    means = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    h = (means[[0, 1, 2, 0]] + latents(4, 2) / 10).requires_grad_()
    pull = torch.autograd.grad(centre_loss(h, means, torch.tensor([0, 1, 2, 0])), h)[0]
    deviations = torch.full((3, 2), 0.05, dtype=torch.float64)
    third = torch.full((3,), 1 / 3, dtype=torch.float64)
    soft = torch.autograd.grad(negative_log_likelihood(log_joint(h, third, means, deviations)), h)[0]
    torch.testing.assert_close(soft * 2 * 0.05**2, pull)


def test_an_empty_component_is_never_responsible() -> None:
    nan = float("nan")
    for factors in (
        torch.stack([torch.eye(2), torch.full((2, 2), nan)]),
        torch.stack([torch.eye(2), torch.zeros(2, 2)]),
        torch.tensor([[1.0, 1.0], [0.0, nan]]),
    ):
        h = torch.tensor([[1e4, -1e4], [0.0, 1.0]], requires_grad=True)
        joint = log_joint(h, torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 0.0], [nan, nan]]), factors)
        loss = negative_log_likelihood(joint)
        loss.backward()
        assert responsibilities(joint).tolist() == [[1.0, 0.0], [1.0, 0.0]]
        assert torch.isfinite(loss) and torch.isfinite(h.grad).all()


def test_far_latents() -> None:
    weights, means, sigma = mixture(3, 2)
    h = torch.tensor([[1e4, 1e4], [-1e4, 1e4]], requires_grad=True)
    joint = log_joint(h, weights.float(), means.float(), torch.linalg.cholesky(sigma).float())
    negative_log_likelihood(joint).backward()
    assert torch.isfinite(responsibilities(joint)).all() and torch.isfinite(h.grad).all()


def test_parameters_of_double_precision_give_it() -> None:
    weights, means, sigma = mixture(3, 2)
    factors = torch.linalg.cholesky(sigma)
    assert log_joint(latents(2, 2).float(), weights, means, factors).dtype == torch.float64
    half = latents(2, 2).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for one, factor in ((log_joint, factors), (log_joint_whitened, torch.linalg.inv(factors))):
            found = one(half, weights.float(), means.float(), factor.float())
            assert found.dtype == torch.float32
            torch.testing.assert_close(found.double(), log_joint(half.double(), weights, means, factors))


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"factors of shape \(2, 3\) for means of \(2, 2\)"):
        log_joint(torch.zeros(1, 2), torch.ones(2) / 2, torch.zeros(2, 2), torch.ones(2, 3))
    with pytest.raises(InputError, match="variant 'literal'; give 'corrected' or 'published'"):
        negative_log_likelihood(torch.zeros(1, 2), "literal")
