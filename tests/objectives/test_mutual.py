from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from nervure.objectives.mutual import information_loss, joint_distribution


def rows(n: int, k: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(k), n))


def loss_of(p: torch.Tensor, q: torch.Tensor, weight: float = 1.0) -> torch.Tensor:
    return information_loss(joint_distribution(p, q), weight)


def one_hot(labels: np.ndarray, k: int) -> torch.Tensor:
    return torch.from_numpy(np.eye(k)[labels])


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_joint_as_a_loop(n: int, k: int, seed: int) -> None:
    p, q = rows(n, k, seed), rows(n, k, seed + 1)
    expected = sum(np.outer(a, b) for a, b in zip(p.numpy(), q.numpy(), strict=True)) / n
    found = joint_distribution(p, q)
    np.testing.assert_allclose(found, (expected + expected.T) / 2, rtol=1e-10)
    assert float(found.sum()) == pytest.approx(1)


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 99))
def test_hard_assignments_as_scikit_learn(n: int, k: int, seed: int) -> None:
    """Made symmetric, the table is that of the pairs read both ways."""
    draw = np.random.default_rng(seed)
    a, b = draw.integers(0, k, n), draw.integers(0, k, n)
    found = float(loss_of(one_hot(a, k), one_hot(b, k)))
    assert found == pytest.approx(-mutual_info_score(np.r_[a, b], np.r_[b, a]), rel=1e-9, abs=1e-12)


@given(st.integers(1, 8), st.integers(2, 5), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 99))
def test_as_numpy(n: int, k: int, weight: float, seed: int) -> None:
    p, q = rows(n, k, seed), rows(n, k, seed + 1)
    joint = joint_distribution(p, q).numpy()
    side = joint.sum(1)
    expected = -(joint * (np.log(joint) - weight * np.log(side)[:, None] - weight * np.log(side)[None])).sum()
    assert float(loss_of(p, q, weight)) == pytest.approx(expected, rel=1e-9)


def test_the_least_value_is_minus_the_log_of_clusters() -> None:
    sure = one_hot(np.arange(12) % 4, 4)
    assert float(loss_of(sure, sure)) == pytest.approx(-np.log(4))
    collapsed = one_hot(np.zeros(12, int), 4)
    assert float(loss_of(collapsed, collapsed)) == pytest.approx(0, abs=1e-12)


def test_logarithms_have_a_floor() -> None:
    """A cluster of mass e, below 1e-8, in which every copy stays: -(e ln f - 2 e ln f), f the floor."""
    e = 1e-10
    joint = torch.tensor([[1 - e, 0.0], [0.0, e]], dtype=torch.float64)
    assert float(information_loss(joint)) == pytest.approx(e * np.log(1e-8) - e, rel=1e-4)


def test_gradients() -> None:
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    q = rows(6, 3, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s, q: loss_of(s.softmax(1), q, 1.5), (scores, q))


def test_extremes() -> None:
    p = torch.tensor([[1e4, -1e4, 0.0]] * 2, requires_grad=True)
    loss = loss_of(p.softmax(1), p.softmax(1))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(p.grad).all()


def test_mixed_precision() -> None:
    p, q = rows(64, 4, 0).float(), rows(64, 4, 1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss_of(p, q)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss_of(p.double(), q.double())), rel=1e-4)
