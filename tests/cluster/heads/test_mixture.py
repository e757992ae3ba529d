from __future__ import annotations

import dataclasses

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from nervure.cluster import em
from nervure.cluster.heads import Group
from nervure.cluster.heads.mixture import MixtureHead
from nervure.data.dataset import Batch

BATCH = Batch(torch.zeros(3, 1), None, torch.arange(3))


def fitted(latents: Tensor, **settings: object) -> MixtureHead:
    head = MixtureHead(4, 3, init="kmeans++", **settings)
    head.begin(Group.alone(latents))
    return head


def test_responsibilities_are_scipys(latents: Tensor) -> None:
    head = fitted(latents)
    some = latents[:20].double()
    parts = [
        weight * multivariate_normal(mean, covariance).pdf(some.numpy())
        for weight, mean, covariance in zip(
            head.weights.tolist(), head.means.numpy(), head.covariances.numpy(), strict=True
        )
    ]
    joint = torch.stack([torch.from_numpy(part) for part in parts], dim=1)
    assert torch.allclose(head(some).exp(), joint / joint.sum(dim=1, keepdim=True), atol=1e-9)
    assert float(head.loss(some, BATCH)) == pytest.approx(float(-joint.sum(1).log().mean()), rel=1e-9)


def test_a_step_down_the_loss_raises_the_likelihood_and_the_printed_sign_lowers_it(latents: Tensor) -> None:
    """The sign test of spec deepcluster, S4."""
    for variant, better in (("corrected", True), ("published", False)):
        head = fitted(latents, variant=variant)
        moved = latents.double().clone().requires_grad_()
        before = float(head.log_joint(moved).detach().logsumexp(1).mean())
        slope = torch.autograd.grad(head.loss(moved, BATCH), moved)[0]
        after = float(head.log_joint(moved - 1e-4 * slope).logsumexp(1).mean())
        assert (after > before) is better


def test_parameters_take_no_gradient(latents: Tensor) -> None:
    head = fitted(latents)
    assert not list(head.parameters())
    loss = head.loss(latents.clone().requires_grad_(), BATCH)
    loss.backward()
    assert all(buffer.grad is None for buffer in head.buffers())


def test_a_component_without_mass_is_reseeded(latents: Tensor) -> None:
    head = fitted(latents)
    head.means[2] = 1e4
    found = head.refresh(Group.alone(latents), 1)
    assert found.repaired == ("component 2 reseeded",)
    assert float((latents.double() - head.means[2]).norm(dim=1).min()) < 1e-6
    assert torch.allclose(head.covariances[2], head.covariances[[0, 1, 3]].mean(dim=0))
    assert float(head.weights[2]) == pytest.approx(0.25 / 1.25)
    kept = fitted(latents, empty="keep")
    kept.means[2] = 1e4
    assert kept.refresh(Group.alone(latents), 1).repaired == ()
    last = fitted(latents)
    last.means[2] = 1e4
    assert last.refresh(dataclasses.replace(Group.alone(latents), last=True), 1).repaired == ()


@pytest.mark.parametrize(("count", "repaired"), [(40, ("component 1 reseeded",)), (10, ())])
def test_two_samples_make_no_covariance_but_may_be_a_fifth_of_an_even_share(
    count: int, repaired: tuple[str, ...]
) -> None:
    near = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    group = Group.alone(torch.cat([near, near[:2] + 100]))
    head = MixtureHead(2, 3)
    head._set(
        em.of_assignment(
            group.latents,
            (torch.arange(count + 2) >= count).long(),
            near[[0, 1]].double() + torch.tensor([[0.0], [100.0]]),
            0.1,
        )
    )
    assert head.refresh(group, 1).repaired == repaired


@pytest.mark.parametrize("init", ["normal", "xavier"])
def test_means_that_are_of_no_sample_have_equal_weights(init: str, latents: Tensor) -> None:
    head = MixtureHead(4, 3, init=init)
    head.begin(Group.alone(latents))
    assert head.weights.tolist() == [0.25] * 4


def test_a_diagonal_mixture_stays_diagonal(latents: Tensor) -> None:
    head = fitted(latents, covariance="diag")
    head.refresh(Group.alone(latents), 1)
    assert bool((head.covariances - torch.diag_embed(head.covariances.diagonal(dim1=1, dim2=2)) == 0).all())


def test_settling_finds_separate_groups() -> None:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(300, 2, generator=draw) + 20 * (torch.arange(300) % 3)[:, None]
    head = MixtureHead(3, 2)
    head.settle(Group.alone(latents))
    chosen = head.assign(latents)
    assert all(len(chosen[one::3].unique()) == 1 for one in range(3))
    wide = MixtureHead(3, 2, floor=5.0)
    wide.settle(Group.alone(latents))
    assert float(wide.covariances.diagonal(dim1=1, dim2=2).min()) > 5


def test_em_begins_where_no_step_helps(latents: Tensor) -> None:
    """After ``em`` a step changes the likelihood less than after k-means, and it is no lower."""
    group = Group.alone(latents)
    gains, likelihoods = {}, {}
    for init in ("kmeans", "em"):
        head = MixtureHead(4, 3, init=init)
        head.begin(group)
        before = float(head.log_joint(latents.double()).logsumexp(1).mean())
        assert head.refresh(group, 1).logs["log_likelihood"] == pytest.approx(before)
        likelihoods[init] = before
        gains[init] = float(head.log_joint(latents.double()).logsumexp(1).mean()) - before
    assert abs(gains["em"]) < 0.1 * abs(gains["kmeans"])
    assert likelihoods["em"] >= likelihoods["kmeans"]
