from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from nervure.objectives.student import divergence, student_assignment, target_distribution, target_distribution_from


def rows(n: int, k: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(k), n))


@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 4), st.sampled_from([0.5, 1.0, 9.0]), st.integers(0, 99))
def test_assignments_as_numpy(n: int, k: int, d: int, freedom: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    h, centres = draw.normal(size=(n, d)), draw.normal(size=(k, d))
    expected = np.empty((n, k))
    for i in range(n):
        for j in range(k):
            expected[i, j] = (1 + ((h[i] - centres[j]) ** 2).sum() / freedom) ** (-(freedom + 1) / 2)
        expected[i] /= expected[i].sum()
    found = student_assignment(torch.from_numpy(h), torch.from_numpy(centres), freedom)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_targets_as_numpy(n: int, k: int, seed: int) -> None:
    q = rows(n, k, seed).numpy()
    sharp = q**2 / q.sum(axis=0)
    expected = sharp / sharp.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(target_distribution(torch.from_numpy(q)), expected, rtol=1e-10)


def test_streamed_targets_are_those_of_the_whole() -> None:
    q = rows(50, 4, 0)
    parts = q.split(7)
    mass = sum(part.sum(dim=0) for part in parts)
    streamed = torch.cat([target_distribution_from(part, mass) for part in parts])
    torch.testing.assert_close(streamed, target_distribution(q), rtol=1e-12, atol=0)


def test_targets_are_sharper_and_constant() -> None:
    """With clusters of one size, the surer of two becomes surer still."""
    q = torch.tensor([[0.7, 0.3], [0.3, 0.7]], requires_grad=True)
    p = target_distribution(q)
    assert not p.requires_grad
    assert float(p[0, 0].detach()) == pytest.approx(0.49 / 0.58)


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_divergence_as_scipy(n: int, k: int, seed: int) -> None:
    p, q = rows(n, k, seed), rows(n, k, seed + 1)
    assert float(divergence(p, q)) == pytest.approx(rel_entr(p.numpy(), q.numpy()).sum() / n, rel=1e-9, abs=1e-15)
    assert float(divergence(p, p)) == pytest.approx(0, abs=1e-15)


def test_gradients_reach_latents_and_centres_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    h, centres = (torch.randn(n, 2, generator=draw, dtype=torch.float64).requires_grad_() for n in (6, 3))
    target = target_distribution(student_assignment(h, centres))
    assert torch.autograd.gradcheck(lambda h, c: divergence(target, student_assignment(h, c)), (h, centres))
    p = rows(6, 3, 1).requires_grad_()
    divergence(p, student_assignment(h, centres)).backward()
    assert p.grad is None and centres.grad.abs().min() > 0


def test_the_gradient_of_the_paper() -> None:
    """Xie et al. 2016, Eq 4: ∂L/∂z_i = (ν+1)/ν Σ_j (1 + ‖z_i - μ_j‖²/ν)⁻¹ (p_ij - q_ij) (z_i - μ_j), L the sum."""
    draw = torch.Generator().manual_seed(0)
    h, centres = (torch.randn(n, 2, generator=draw, dtype=torch.float64) for n in (5, 3))
    p = rows(5, 3, 0)
    for freedom in (1.0, 3.0):
        h.requires_grad_()
        q = student_assignment(h, centres, freedom)
        (found,) = torch.autograd.grad(divergence(p, q) * 5, h)
        off = (h[:, None] - centres).detach().numpy()
        pull = (p - q).detach().numpy() / (1 + (off**2).sum(-1) / freedom)
        np.testing.assert_allclose(found, (freedom + 1) / freedom * (pull[:, :, None] * off).sum(1), rtol=1e-9)


def test_extremes() -> None:
    h = torch.tensor([[1e4, 0.0], [0.0, 0.0]], requires_grad=True)
    centres = torch.tensor([[0.0, 0.0], [1e4, 0.0], [-1e12, 1e12]], requires_grad=True)
    q = student_assignment(h, centres)
    p = target_distribution(q)
    divergence(p, q).backward()
    for one in (q, p, h.grad, centres.grad):
        assert torch.isfinite(one).all()
    # a cluster that nobody is near, down to 0, and assignments whose squares underflow
    for small in (0.0, 1e-30):
        empty = target_distribution(torch.tensor([[1.0, small], [1.0, small]]))
        torch.testing.assert_close(empty.sum(dim=1), torch.ones(2))
    assert empty[0, 1] > 0
    assert float(divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))) == 0


def test_half_precision() -> None:
    q = student_assignment(torch.ones(2, 3, dtype=torch.bfloat16), torch.zeros(2, 3))
    assert q.dtype == target_distribution(q.to(torch.float16)).dtype == torch.float32
