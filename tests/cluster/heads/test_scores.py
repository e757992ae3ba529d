from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from nervure.cluster.heads import Group
from nervure.cluster.heads.scores import ScoresHead
from nervure.data.dataset import Batch

A = torch.tensor([[1.0, 2, 0], [0, 1, 3], [2, 0, 1], [4, 1, 1]], dtype=torch.float64)
BATCH = Batch(torch.zeros(4, 1), None, torch.arange(4))


def identity(**settings: object) -> ScoresHead:
    """A head whose scores are its latents, in float64 and without a floor to the variance."""
    head = ScoresHead(3, 3, **settings).double()
    nn.init.eye_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    head.norm.eps = 1e-14
    return head


@pytest.mark.parametrize(("gamma", "loss"), [(1, 0.464714), (5, 0.621475), (10, 0.655516)])
def test_loss_of_the_spec(gamma: float, loss: float) -> None:
    assert float(identity(gamma=gamma).loss(A, BATCH).detach()) == pytest.approx(loss, abs=1e-6)


def test_inference_uses_the_statistics_of_the_phase() -> None:
    head = identity()
    head.begin(Group.alone(A))
    head.eval()
    expected = (A - A.mean(0)) / A.std(0, unbiased=False)
    assert torch.allclose(head(A), expected.log_softmax(1))
    assert torch.allclose(head(A[:1]), head(A)[:1])


def test_training_leaves_the_stored_statistics() -> None:
    head = identity()
    head.begin(Group.alone(A))
    before = head.norm.running_mean.clone()
    head.train()(A + 7)
    head.loss(A - 3, BATCH, A * 2)
    assert torch.equal(head.norm.running_mean, before)


def test_copies_have_statistics_of_their_own() -> None:
    head = identity()
    shifted = head.loss(A, BATCH, A * 3 + 5)
    assert float(shifted.detach()) == pytest.approx(2 * 0.621475, abs=1e-6)


def test_scale_and_shift_of_a_column_change_nothing() -> None:
    head = identity()
    moved = A * torch.tensor([2.0, 0.5, 7.0]) + torch.tensor([1.0, -4.0, 0.0])
    assert float(head.loss(moved, BATCH).detach()) == pytest.approx(float(head.loss(A, BATCH).detach()), abs=1e-12)


def test_the_bias_has_no_gradient() -> None:
    head = identity()
    head.loss(A, BATCH).backward()
    assert float(head.linear.bias.grad.abs().max()) < 1e-7


def test_priors_follow_the_posteriors() -> None:
    head = identity(priors=True, memory=0.9)
    expected = 0.9 / 3 + 0.1 * torch.softmax((A - A.mean(0)) / A.std(0, unbiased=False), 1).mean(0)
    head.loss(A, BATCH)
    assert torch.allclose(head.prior.double(), expected / expected.sum(), atol=1e-6)
    head.eval().loss(A, BATCH)
    assert torch.allclose(head.prior.double(), expected / expected.sum(), atol=1e-6)
    assert torch.allclose(identity().prior, torch.full((3,), 1 / 3, dtype=torch.float64))


def test_consistency_alone_pulls_copies_to_the_originals() -> None:
    head = identity(goal="consistency", priors=True)
    head.prior.copy_(torch.tensor([0.5, 0.3, 0.2]))
    assert float(head.loss(A, BATCH, A * 3 + 5).detach()) == pytest.approx(0, abs=1e-12)
    head.prior.copy_(torch.tensor([0.5, 0.3, 0.2]))
    copies = A.flip(0).requires_grad_()
    originals = A.clone().requires_grad_()
    loss = head.loss(originals, BATCH, copies)
    normal = (A - A.mean(0)) / A.std(0, unbiased=False) + torch.tensor([0.5, 0.3, 0.2]).log()
    aim, other = normal.log_softmax(1), normal.flip(0).log_softmax(1)
    assert float(loss.detach()) == pytest.approx(float((aim.exp() * (aim - other)).sum(1).mean()), abs=1e-6)
    loss.backward()
    assert originals.grad is None
    assert float(copies.grad.abs().sum()) > 0


def test_a_cluster_that_stays_weak_is_reset() -> None:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(300, 3, generator=draw)
    head = ScoresHead(3, 3, patience=3)
    with torch.no_grad():  # two clusters are one
        head.linear.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]))
        head.linear.bias.zero_()
    group = Group.alone(latents)
    found = [head.refresh(group, epoch) for epoch in range(1, 5)]
    assert [one.repaired for one in found] == [(), (), ("cluster 2 reset",), ()]
    assert not torch.equal(head.linear.weight[2], head.linear.weight[1])
    assert found[2].renewed == (head.linear.weight, head.linear.bias)
    assert found[1].renewed == ()


def test_a_cluster_that_is_reset_gets_a_prior_with_which_it_can_live() -> None:
    head = ScoresHead(3, 3, patience=1, priors=True)
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(3))
        head.linear.bias.zero_()
        head.prior.copy_(torch.tensor([0.6, 0.4, 1e-6]))
    latents = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    assert head.refresh(Group.alone(latents), 1).repaired == ("cluster 2 reset",)
    assert head.prior.tolist() == pytest.approx([0.45, 0.3, 0.25], abs=1e-5)
    assert int((head.eval().assign(latents) == 2).sum()) > 0


def test_assignment_is_that_of_the_phase_whatever_the_mode_or_the_last_chunk() -> None:
    head, latents = ScoresHead(2, 2), torch.randn(65_537, 2, generator=torch.Generator().manual_seed(0))
    head.begin(Group.alone(latents))
    assert head.train().assign(latents).tolist() == head.eval().assign(latents).tolist()
    assert head.train().assign(latents[:1]).shape == (1,)


def test_scores_are_normalised_in_single_precision() -> None:
    """Half precision has no digits left where latents lie far from 0."""
    head = ScoresHead(3, 4)
    latents = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) + 50
    plain = head.normal(latents)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = head.normal(latents)
    assert mixed.dtype == torch.float32
    assert torch.allclose(mixed, plain, atol=1e-5)
    assert head.half().eval().normal(latents.half()).dtype == torch.float16


def test_the_last_phase_resets_nothing() -> None:
    """A row that is drawn anew then would be delivered untrained."""
    latents = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    head = ScoresHead(3, 3, patience=1)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]))
        head.linear.bias.zero_()
    assert head.refresh(dataclasses.replace(Group.alone(latents), last=True), 1).repaired == ()
    head.linear.bias.data.fill_(7)
    assert head.refresh(Group.alone(latents), 2).repaired == ("cluster 2 reset",)
    assert head.linear.bias.tolist() == [7, 7, 0]
    assert head.weak.tolist() == [0, 0, 0]
    assert torch.allclose(head.norm.running_mean, head.linear(latents).mean(dim=0), atol=1e-5)
    assert head.training


def sized(*sizes: int) -> Group:
    """So many samples for each cluster of a head whose scores are its latents."""
    return Group.alone(torch.eye(3, dtype=torch.float64).repeat_interleave(torch.tensor(sizes), dim=0))


def test_a_cluster_is_weak_below_a_fifth_of_an_even_share() -> None:
    head = identity()
    head.refresh(sized(150, 129, 21), 1)
    assert head.weak.tolist() == [0, 0, 0]
    head.refresh(sized(150, 131, 19), 2)
    assert head.weak.tolist() == [0, 0, 1]


def test_weakness_counts_in_a_row() -> None:
    head = identity(patience=3)
    phases = [sized(150, 140, 10)] * 2 + [sized(100, 100, 100)] + [sized(150, 140, 10)] * 2
    assert [head.refresh(group, epoch).repaired for epoch, group in enumerate(phases, 1)] == [()] * 5


def test_scores_that_are_much_alike_are_not_one_yet() -> None:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(900, 3, generator=draw, dtype=torch.float64)
    head = identity()
    for share, weak in ((0.85, 0), (0.98, 1)):
        latents[:, 1] = share * latents[:, 0] + (1 - share**2) ** 0.5 * latents[:, 2]
        latents[:, 2] = torch.randn(900, generator=draw, dtype=torch.float64)
        head.refresh(Group.alone(latents), 1)
        assert head.weak.tolist() == [0, weak, 0]


def test_probabilities_are_by_the_statistics_of_the_phase() -> None:
    head = identity()
    head.begin(Group.alone(A))
    expected = head.eval()(A).exp().detach()
    assert torch.allclose(head.train().probabilities(A[:2]), expected[:2])
    assert head.training
