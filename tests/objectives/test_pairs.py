from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.objectives.pairs import link_loss


def rows(n: int, k: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(k), n))


@given(st.integers(1, 8), st.integers(2, 5), st.integers(0, 99))
def test_as_numpy(n: int, k: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    p, q, must, weight = rows(n, k, seed), rows(n, k, seed + 1), draw.random(n) < 0.5, draw.random(n)
    total = 0.0
    for i in range(n):
        together = float(p[i] @ q[i])
        total += -weight[i] * np.log(together if must[i] else 1 - together)
    found = link_loss(p, q, torch.from_numpy(must), torch.from_numpy(weight))
    assert float(found) == pytest.approx(total / n, rel=1e-9)


def test_partners_are_constants_and_gradients_right() -> None:
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    q, must, weight = rows(6, 3, 0).requires_grad_(), torch.arange(6) < 3, torch.linspace(0.5, 2, 6).double()
    assert torch.autograd.gradcheck(lambda s: link_loss(s.softmax(1), q.detach(), must, weight), (scores,))
    link_loss(scores.softmax(1), q, must, weight).backward()
    assert q.grad is None


def test_a_step_brings_together_and_apart() -> None:
    q = torch.tensor([[0.8, 0.2]])
    for must in (True, False):
        scores = torch.zeros(1, 2, requires_grad=True)
        link_loss(scores.softmax(1), q, torch.tensor([must]), torch.ones(1)).backward()
        after = (scores - scores.grad).softmax(1).detach()
        assert (float(after @ q.T) > 0.5) == must


def test_near_certainty_keeps_its_digits() -> None:
    """Both in one cluster but for 1e-12, which 1 - s loses in float32."""
    scores = torch.tensor([[28.0, 0.0]], requires_grad=True)
    p = scores.softmax(1)
    loss = link_loss(p, p, torch.tensor([False]), torch.ones(1))
    loss.backward()
    away = 1 / (1 + math.exp(28))
    assert float(loss.detach()) == pytest.approx(-math.log(2 * away * (1 - away)), rel=1e-6)
    assert float(scores.grad[0, 0]) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("must", [True, False])
def test_extremes(must: bool) -> None:
    scores = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [0.0, 1e4]], requires_grad=True)
    p = scores.softmax(1)
    for q in (p, p.flip(1)):
        loss = link_loss(p, q, torch.full((3,), must), torch.ones(3))
        (found,) = torch.autograd.grad(loss, scores, retain_graph=True)
        assert torch.isfinite(loss) and torch.isfinite(found).all()


def test_a_weight_of_zero_takes_no_part() -> None:
    p, q = rows(4, 3, 0), rows(4, 3, 1)
    must = torch.tensor([True, False, True, False])
    whole = link_loss(p, q, must, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert float(whole) == pytest.approx(float(link_loss(p[:2], q[:2], must[:2], torch.ones(2))) / 2)


def test_mixed_precision() -> None:
    p, q = rows(64, 4, 0).float(), rows(64, 4, 1).float()
    must = torch.arange(64) % 2 == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = link_loss(p, q, must, torch.ones(64))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(link_loss(p.double(), q.double(), must, torch.ones(64))), rel=1e-5)
