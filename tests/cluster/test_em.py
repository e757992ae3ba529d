from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from torch import Tensor

from nervure.cluster import em
from nervure.cluster.heads import Group
from nervure.cluster.heads.mixture import MixtureHead
from nervure.errors import DivergedError


def start(latents: Tensor, diagonal: bool = False) -> em.Mixture:
    return em.of_assignment(latents, torch.arange(len(latents)) % 4, latents[:4].double(), 1e-3, diagonal)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_one_step_is_scikit_learns(latents: Tensor, kind: str) -> None:
    diagonal = kind == "diag"
    mixture = start(latents, diagonal)
    made = em.step(em.sums(latents, mixture), mixture, 1e-3, diagonal)
    precisions = np.linalg.inv(mixture.covariances.numpy())
    theirs = GaussianMixture(
        4,
        covariance_type=kind,
        reg_covar=1e-3,
        max_iter=1,
        weights_init=mixture.weights.numpy(),
        means_init=mixture.means.numpy(),
        precisions_init=np.diagonal(precisions, axis1=1, axis2=2) if diagonal else precisions,
    )
    with pytest.warns(match="did not converge"):
        theirs.fit(latents.double().numpy())
    covariances = made.covariances.diagonal(dim1=1, dim2=2) if diagonal else made.covariances
    assert np.allclose(made.weights.numpy(), theirs.weights_, atol=1e-5)
    assert np.allclose(made.means.numpy(), theirs.means_, atol=1e-5)
    assert np.allclose(covariances.numpy(), theirs.covariances_, atol=1e-5)


@given(cut=st.integers(1, 399))
def test_sums_of_shards_are_sums_of_all(cut: int) -> None:
    draw = torch.Generator().manual_seed(2)
    latents = torch.randn(400, 3, generator=draw) + 1000
    mixture = start(latents)
    whole = em.sums(latents, mixture).packed()
    parts = em.sums(latents[:cut], mixture).packed() + em.sums(latents[cut:], mixture).packed()
    assert torch.allclose(whole, parts, rtol=1e-12, atol=1e-9)


def test_covariances_far_from_zero_keep_their_digits() -> None:
    """About the old means; moments about 0 would leave nothing of a variance of 1e-4 at 1e5 in single precision."""
    draw = torch.Generator().manual_seed(0)
    wide = torch.randn(500, 2, generator=draw, dtype=torch.float64) * 1e-2 + 1e5
    mixture = em.Mixture(torch.ones(1).double(), wide[:1].clone(), torch.eye(2).double()[None])
    made = em.step(em.sums(wide, mixture), mixture, 0.0)
    assert np.allclose(made.covariances[0].numpy(), np.cov(wide.numpy().T, bias=True), rtol=1e-9)


def test_likelihood_never_falls_over_phases(latents: Tensor) -> None:
    head = MixtureHead(4, 3, init="kmeans++", floor=1e-6)
    group = Group.alone(latents)
    head.begin(group)
    found = [head.refresh(group, epoch).logs["log_likelihood"] for epoch in range(1, 16)]
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(found))
    assert found[-1] > found[0]


def test_covariances_stay_symmetric_and_positive_even_of_identical_latents() -> None:
    head = MixtureHead(3, 2, floor=1e-4)
    group = Group.alone(torch.cat([torch.zeros(20, 2), torch.ones(3, 2)]))
    head.begin(group)
    for epoch in range(1, 6):
        head.refresh(group, epoch)
        assert torch.equal(head.covariances, head.covariances.transpose(1, 2))
        assert bool((torch.linalg.eigvalsh(head.covariances) > 0).all())
        assert float(head.weights.sum()) == pytest.approx(1)
    assert bool(head(torch.randn(4, 2)).exp().sum(dim=1).sub(1).abs().lt(1e-5).all())


def test_too_few_members_borrow_the_covariance_of_all() -> None:
    latents = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    assigned = torch.zeros(30, dtype=torch.int64)
    assigned[:2] = 1
    made = em.of_assignment(latents, assigned, latents[:2].double(), 0.0)
    assert np.allclose(made.covariances[1].numpy(), np.cov(latents.double().numpy().T, bias=True))
    assert made.weights.tolist() == pytest.approx([28 / 30, 2 / 30])
    floored = em.of_assignment(latents, assigned, latents[:2].double(), 0.5)
    assert torch.allclose(floored.covariances, made.covariances + 0.5 * torch.eye(2))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_covariances_that_are_no_numbers_are_refused(value: float) -> None:
    """No help makes them positive."""
    covariances = torch.eye(2, dtype=torch.float64).repeat(3, 1, 1)
    covariances[1, 0, 0] = value
    mixture = em.Mixture(torch.full((3,), 1 / 3).double(), torch.zeros(3, 2).double(), covariances)
    with pytest.raises(DivergedError, match="not finite"):
        mixture.factors()
