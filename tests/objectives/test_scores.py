from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, rel_entr, softmax
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.objectives.scores import (
    consistency_loss,
    densities,
    em_loss,
    moments,
    normalise,
    normalise_with,
    posterior,
)

TOY = torch.tensor([[1, 2, 0], [0, 1, 3], [2, 0, 1], [4, 1, 1]], dtype=torch.float64)


def scores(n: int, k: int, seed: int = 0) -> Tensor:
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.normal(size=(n, k)) * draw.uniform(0.5, 3, k) + draw.normal(size=k))


def em(a: Tensor, gamma: float = 5.0) -> Tensor:
    normal = normalise(a, eps=0.0)
    return em_loss(normal, posterior(normal), gamma)


class TestExactValues:
    """spec neural-mixture-clustering, 2.9."""

    @pytest.mark.parametrize(("k", "value"), [(2, 0.621979), (4, 0.584839), (10, 0.507858), (20, 0.408818)])
    def test_one_hot(self, k: int, value: float) -> None:
        assert float(em(torch.eye(k, dtype=torch.float64).repeat(3, 1))) == pytest.approx(value, abs=1e-6)

    @pytest.mark.parametrize(("gamma", "value"), [(1, 0.464714), (5, 0.621475), (10, 0.655516)])
    def test_toy_loss(self, gamma: float, value: float) -> None:
        assert float(em(TOY, gamma)) == pytest.approx(value, abs=1e-6)

    def test_toy_posterior(self) -> None:
        expected = [
            [0.119658, 0.817247, 0.063095],
            [0.048705, 0.159016, 0.792279],
            [0.532859, 0.109400, 0.357741],
            [0.718346, 0.156910, 0.124743],
        ]
        np.testing.assert_allclose(posterior(normalise(TOY, eps=0.0)), expected, atol=1e-6)

    def test_toy_gradient(self) -> None:
        a = TOY.clone().requires_grad_()
        em(a).backward()
        expected = [
            [0.001524, -0.004519, -0.000321],
            [0.000191, 0.004482, -0.000160],
            [-0.002668, -0.004519, -0.002493],
            [0.000953, 0.004556, 0.002975],
        ]
        np.testing.assert_allclose(a.grad, expected, atol=1e-6)

    def test_toy_with_priors(self) -> None:
        normal = normalise(TOY, eps=0.0)
        log_prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
        p = posterior(normal, log_prior)
        assert float(em_loss(normal, p)) == pytest.approx(0.621866, abs=1e-6)
        constant = float(-(p * log_prior).sum() / 4)
        assert float(em_loss(normal, p, log_prior=log_prior)) == pytest.approx(0.621866 + constant, abs=1e-6)

    @pytest.mark.parametrize(
        ("share", "value"),
        [(0.5, 0.6220), (0.4, 0.6240), (0.3, 0.6301), (0.2, 0.6411), (0.1, 0.6586), (0.05, 0.6713)],
    )
    def test_two_point_masses_are_best_balanced(self, share: float, value: float) -> None:
        first = torch.arange(100) < round(100 * share)
        a = torch.stack([first, ~first], dim=1).double()
        assert float(em(a)) == pytest.approx(value, abs=6e-5)

    def test_sharpness(self) -> None:
        """2.3: ideal one-hot, K = 10: 0.757 by softmax, 0.129 by the ratio of densities."""
        normal = normalise(torch.eye(10, dtype=torch.float64), eps=0.0)
        assert float(posterior(normal)[0, 0]) == pytest.approx(0.757, abs=5e-4)
        assert float(posterior(normal, variant="ratio")[0, 0]) == pytest.approx(0.129, abs=5e-4)


class TestNormalise:
    def test_as_batch_norm_in_value_and_gradient(self) -> None:
        a, other = scores(32, 5).requires_grad_(), scores(32, 5).requires_grad_()
        weight = scores(32, 5, seed=7)
        found, expected = normalise(a), nn.BatchNorm1d(5, affine=False).double()(other)
        torch.testing.assert_close(found, expected)
        (found * weight).sum().backward()
        (expected * weight).sum().backward()
        torch.testing.assert_close(a.grad, other.grad)

    @given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 99))
    def test_as_numpy(self, n: int, k: int, seed: int) -> None:
        a = scores(n, k, seed)
        mean, variance = a.numpy().mean(0), a.numpy().var(0)
        expected = (a.numpy() - mean) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(normalise(a), expected, rtol=1e-8, atol=1e-9)
        found = moments(a)
        np.testing.assert_allclose(found[0], mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found[1], variance, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(normalise_with(a, *found), normalise(a))

    def test_gradcheck_with_fixed_posterior(self) -> None:
        a = scores(6, 3).requires_grad_()
        p = posterior(scores(6, 3, seed=3))
        assert torch.autograd.gradcheck(lambda a: em_loss(normalise(a), p), (a,))
        assert torch.autograd.gradcheck(lambda a: em_loss(normalise(a), posterior(normalise(a)), variant="joint"), (a,))

    def test_a_large_offset_costs_no_digits(self) -> None:
        a = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * 0.25
        a = (a * 64).round() / 64
        torch.testing.assert_close(normalise(a + 1024), normalise(a), rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("kind", ["one-hot-10", "one-hot-20", "normal"])
    def test_the_mean_of_densities_is_a_half(self, kind: str) -> None:
        if kind == "normal":
            a = scores(4000, 6)
        else:
            a = torch.eye(int(kind[8:]), dtype=torch.float64).repeat(4, 1)
        means = densities(normalise(a)).mean(dim=0)
        assert (means - 0.5).abs().max() < 0.01

    def test_without_it_means_of_densities_spread(self) -> None:
        a = scores(500, 10) + torch.linspace(-8, 8, 10, dtype=torch.float64)
        raw, normal = densities(a).mean(dim=0), densities(normalise(a)).mean(dim=0)
        assert raw.max() - raw.min() > 0.2
        assert normal.min() > 0.48 and normal.max() < 0.52


class TestInvariance:
    @given(st.integers(3, 9), st.integers(2, 5), st.integers(0, 99))
    def test_scale_and_shift_of_columns(self, n: int, k: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        a = scores(n, k, seed)
        scale, shift = torch.from_numpy(draw.uniform(0.1, 9, k)), torch.from_numpy(draw.normal(size=k) * 5)
        assert float(em(a * scale + shift)) == pytest.approx(float(em(a)), rel=1e-9)

    @given(st.integers(3, 9), st.integers(2, 5), st.integers(0, 99))
    def test_order_of_samples_and_clusters(self, n: int, k: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        a = scores(n, k, seed)
        samples, clusters = torch.from_numpy(draw.permutation(n)), torch.from_numpy(draw.permutation(k))
        p = posterior(normalise(a))
        torch.testing.assert_close(posterior(normalise(a[samples][:, clusters])), p[samples][:, clusters])
        assert float(em(a[samples][:, clusters])) == pytest.approx(float(em(a)), rel=1e-10)

    def test_the_last_bias_has_no_gradient(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
            x = torch.randn(20, 4, dtype=torch.float64)
        a = net(x)
        a.retain_grad()
        em(a).backward()
        assert net[2].bias.grad.abs().max() < 1e-7
        assert a.grad.sum(dim=0).abs().max() < 1e-12
        assert net[0].weight.grad.abs().max() > 1e-6


class TestLosses:
    @given(st.integers(2, 8), st.integers(2, 5), st.sampled_from([1.0, 5.0]), st.integers(0, 99))
    def test_as_numpy(self, n: int, k: int, gamma: float, seed: int) -> None:
        a, copy = normalise(scores(n, k, seed)), normalise(scores(n, k, seed + 1))
        prior = np.random.default_rng(seed).dirichlet(np.ones(k))
        log_prior = torch.from_numpy(np.log(prior))
        p = softmax(a.numpy() + np.log(prior), axis=1)
        found = posterior(a, log_prior)
        np.testing.assert_allclose(found, p, rtol=1e-9)
        np.testing.assert_allclose(densities(a, gamma), expit(a.numpy() / gamma), rtol=1e-12)
        value = np.log(expit(a.numpy() / gamma)) + np.log(expit(copy.numpy() / gamma))
        assert float(em_loss(a, found, gamma, copy)) == pytest.approx(-(p * value).sum() / n, rel=1e-9)
        expected = -(p * (value + np.log(prior))).sum() / n
        assert float(em_loss(a, found, gamma, copy, log_prior)) == pytest.approx(expected, rel=1e-9)
        q = softmax(copy.numpy(), axis=1)
        assert float(consistency_loss(found, copy)) == pytest.approx(rel_entr(p, q).sum() / n, rel=1e-8)
        with_prior = softmax(copy.numpy() + np.log(prior), axis=1)
        divergence = rel_entr(p, with_prior).sum() / n
        assert float(consistency_loss(found, copy, log_prior)) == pytest.approx(divergence, rel=1e-8)

    def test_the_posterior_is_a_constant(self) -> None:
        p = posterior(scores(5, 3)).requires_grad_()
        normal, prior = scores(5, 3, 1).requires_grad_(), torch.zeros(3, dtype=torch.float64, requires_grad=True)
        (em_loss(normal, p, log_prior=prior) + consistency_loss(p, normal, prior)).backward()
        assert p.grad is None and prior.grad is None
        assert normal.grad.abs().min() > 0
        em_loss(normal, p, variant="joint").backward()
        assert p.grad is not None

    def test_gradient_of_consistency(self) -> None:
        """(q - p) / n."""
        p, copy = posterior(scores(5, 3)), scores(5, 3, 1).requires_grad_()
        consistency_loss(p, copy).backward()
        torch.testing.assert_close(copy.grad, (posterior(copy.detach()) - p) / 5)
        assert torch.autograd.gradcheck(lambda copy: consistency_loss(p, copy), (copy,))

    def test_equal_copies_are_consistent(self) -> None:
        a = scores(6, 4)
        assert float(consistency_loss(posterior(a), a)) == pytest.approx(0, abs=1e-14)

    def test_gates_are_summed(self) -> None:
        """All gate vectors of a layer at once, (batch, gates, paths), give the sum of each alone."""
        a = torch.stack([scores(16, 3, seed) for seed in range(4)], dim=1)
        normal = normalise(a)
        each = [em_loss(normalise(one), posterior(normalise(one))) for one in a.unbind(dim=1)]
        assert float(em_loss(normal, posterior(normal))) == pytest.approx(float(sum(each)), rel=1e-12)
        drift = [consistency_loss(posterior(one), one.flip(0)) for one in normal.unbind(dim=1)]
        assert float(consistency_loss(posterior(normal), normal.flip(0))) == pytest.approx(float(sum(drift)), rel=1e-12)


class TestExtremes:
    @pytest.mark.parametrize("eps", [1e-5, 0.0])
    @pytest.mark.parametrize(
        "a",
        [
            torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 1e4]]),
            torch.full((5, 3), 1e4),
            torch.tensor([[1.0, 5.0], [2.0, 5.0]]),
            torch.tensor([[3.0, -3.0]]),
        ],
        ids=["large", "constant", "two", "one"],
    )
    def test_no_nan(self, a: Tensor, eps: float) -> None:
        a = a.clone().requires_grad_()
        normal = normalise(a, eps)
        p = posterior(normal)
        loss = em_loss(normal, p, copies=normal) + consistency_loss(p.flip(0), normal)
        loss.backward()
        for one in (normal, p, loss, a.grad):
            assert torch.isfinite(one).all()
        torch.testing.assert_close(p.sum(dim=1), torch.ones(len(a)))

    def test_scores_that_were_not_normalised(self) -> None:
        a = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
        p = posterior(a)
        loss = em_loss(a, p.flip(0), 1.0) + consistency_loss(p.flip(0), a)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(a.grad).all()
        assert p.tolist() == [[1.0, 0.0], [0.0, 1.0]]

    def test_a_constant_column_is_zero(self) -> None:
        assert torch.equal(normalise(torch.full((7, 2), 1e4 / 3)), torch.zeros(7, 2))

    def test_a_prior_of_zero(self) -> None:
        a = scores(4, 3).requires_grad_()
        log_prior = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log()
        p = posterior(a, log_prior)
        loss = em_loss(a, p, log_prior=log_prior) + consistency_loss(p, a, log_prior)
        loss.backward()
        assert torch.equal(p[:, 2], torch.zeros(4, dtype=torch.float64))
        assert torch.isfinite(loss) and torch.isfinite(a.grad).all()

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
    def test_half_precision_is_counted_in_single(self, kind: torch.dtype) -> None:
        a = scores(64, 5).to(kind)
        exact = a.double()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            normal = normalise(a)
            p = posterior(normal)
            loss = em_loss(normal, p, copies=normal) + consistency_loss(p.flip(0), normal)
        assert normal.dtype == p.dtype == loss.dtype == torch.float32
        truth = normalise(exact)
        q = posterior(truth)
        expected = em_loss(truth, q, copies=truth) + consistency_loss(q.flip(0), truth)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_unknown_variants() -> None:
    with pytest.raises(InputError, match="variant 'hard'; give 'softmax' or 'ratio'"):
        posterior(torch.zeros(1, 2), variant="hard")
    with pytest.raises(InputError, match="variant 'hard'; give 'em' or 'joint'"):
        em_loss(torch.zeros(1, 2), torch.zeros(1, 2), variant="hard")
