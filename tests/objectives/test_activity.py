from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import InputError
from nervure.objectives.activity import activity_loss, affinity, balance


def literal(b: np.ndarray) -> tuple[float, float]:
    """Eq 4.3 and 4.4 as printed, with N and V built and summed cell by cell."""
    units = b.shape[1]
    gram = b.T @ b
    v = np.diag(gram)[None]
    outer = v.T @ v
    found = []
    for table in (gram, outer):
        off = sum(table[i, j] for i in range(units) for j in range(units) if i != j)
        found.append(off / ((units - 1) * sum(table[i, i] for i in range(units))))
    return found[0], found[1]


def latents(m: int, n: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(m, n)))


@given(st.integers(1, 8), st.integers(2, 5), st.integers(0, 99))
def test_as_printed(m: int, n: int, seed: int) -> None:
    b = latents(m, n, seed)
    alpha, beta = literal(b.numpy())
    assert float(affinity(b)) == pytest.approx(alpha, rel=1e-9, abs=1e-12)
    assert float(balance(b)) == pytest.approx(beta, rel=1e-9, abs=1e-12)


@given(st.integers(1, 8), st.integers(2, 5), st.integers(0, 99))
def test_the_loss_as_printed(m: int, n: int, seed: int) -> None:
    h = latents(m, n, seed) + 0.5
    raw = h.numpy()
    for rectify in (True, False):
        b = np.maximum(raw, 0) if rectify else raw
        alpha, beta = literal(b) if b.any() else (0.0, 0.0)
        expected = 0.8 * alpha + 0.7 * (1 - beta) + 3e-4 * (raw**2).sum()
        assert float(activity_loss(h, 0.8, 0.7, 3e-4, rectify)) == pytest.approx(expected, rel=1e-9)


def test_ideals() -> None:
    one_hot = torch.eye(4, dtype=torch.float64).repeat(3, 1)
    assert float(affinity(one_hot)) == 0
    assert float(balance(one_hot)) == 1
    ones = torch.ones(6, 4, dtype=torch.float64)
    assert float(affinity(ones)) == float(balance(ones)) == 1
    one_unit = ones * torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert float(affinity(one_unit)) == float(balance(one_unit)) == 0


@given(st.integers(1, 8), st.integers(2, 5), st.floats(1e-6, 1e6), st.integers(0, 99))
def test_invariances_and_range(m: int, n: int, scale: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    b = latents(m, n, seed).relu()
    rows, units = torch.from_numpy(draw.permutation(m)), torch.from_numpy(draw.permutation(n))
    for measure in (affinity, balance):
        value = float(measure(b))
        assert -1e-12 <= value <= 1 + 1e-12
        assert float(measure(b * scale)) == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert float(measure(b[rows][:, units])) == pytest.approx(value, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e4, 1e15])
def test_scale_in_single_precision(scale: float) -> None:
    """Fourth powers of such activations leave the range of float32."""
    b = latents(20, 3, 0).relu()
    for measure in (affinity, balance):
        assert float(measure((b * scale).float())) == pytest.approx(float(measure(b)), rel=1e-5)


def test_gradients_by_finite_differences() -> None:
    h = latents(6, 3, 0).requires_grad_()
    for measure in (affinity, balance):
        assert torch.autograd.gradcheck(measure, (h,))
    for rectify in (True, False):
        assert torch.autograd.gradcheck(lambda h, r=rectify: activity_loss(h, 0.8, 0.7, 3e-4, r), (h,))


@pytest.mark.parametrize("h", [-torch.ones(5, 3), torch.zeros(5, 3)], ids=["negative", "zero"])
def test_nothing_fires(h: torch.Tensor) -> None:
    h = h.clone().requires_grad_()
    loss = activity_loss(h, 0.8, 0.7, 0.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.7)
    assert torch.equal(h.grad, torch.zeros_like(h))


def test_coefficients_of_zero_leave_nothing() -> None:
    h = torch.full((2, 2), float("inf"))
    assert torch.equal(activity_loss(h, 0, 0, 0), torch.zeros(()))


def test_half_precision() -> None:
    h = (latents(100, 4, 0) * 300).half()
    assert float(activity_loss(h, 0, 0, 1.0)) == pytest.approx(float(h.double().square().sum()), rel=1e-6)
    assert float(affinity(h.relu())) == pytest.approx(float(affinity(h.double().relu())), rel=1e-5)


@pytest.mark.parametrize("b", [torch.ones(4, 1), torch.ones(4)])
def test_one_unit_has_no_neighbour(b: torch.Tensor) -> None:
    with pytest.raises(InputError, match="give a batch of at least two units"):
        affinity(b)
