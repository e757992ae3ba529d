from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nervure.cluster.heads import Group
from nervure.cluster.heads.information import InformationHead
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.train.synchronise import count_statistics

BATCH = Batch(torch.zeros(4, 1), None, torch.arange(4))


def plain(clusters: int = 2, **settings: object) -> InformationHead:
    """A head whose scores are its latents."""
    head = InformationHead(clusters, clusters, **settings)
    nn.init.eye_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    return head


def mutual_information(p: Tensor, q: Tensor) -> float:
    """Entry by entry, from the definition."""
    joint = np.zeros((p.shape[1], p.shape[1]))
    for one, other in zip(p.double().numpy(), q.double().numpy(), strict=True):
        joint += np.outer(one, other) / len(p)
    joint = (joint + joint.T) / 2
    rows, columns = joint.sum(1), joint.sum(0)
    total = 0.0
    for i in range(len(joint)):
        for j in range(len(joint)):
            total += joint[i, j] * np.log(joint[i, j] / (rows[i] * columns[j]))
    return total


def test_certain_and_equal_clusters_share_ln_k() -> None:
    scores = 50 * torch.eye(3).repeat(2, 1)
    assert float(plain(3).loss(scores, BATCH, scores).detach()) == pytest.approx(-np.log(3), abs=1e-5)
    one = torch.tensor([[50.0, 0, 0]]).repeat(6, 1)
    assert float(plain(3).loss(one, BATCH, one).detach()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_loss_is_minus_the_mutual_information(training: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    scores, copies = torch.randn(20, 4, generator=draw), torch.randn(20, 4, generator=draw)
    head = plain(4).train(training)
    expected = -mutual_information(scores.softmax(1), copies.softmax(1))
    assert float(head.loss(scores, BATCH, copies).detach()) == pytest.approx(expected, abs=1e-5)


def test_another_numbering_of_clusters_changes_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    scores, copies = torch.randn(20, 4, generator=draw), torch.randn(20, 4, generator=draw)
    order = torch.tensor([2, 0, 3, 1])
    one, other = plain(4).loss(scores, BATCH, copies), plain(4).loss(scores[:, order], BATCH, copies[:, order])
    assert float(one.detach()) == pytest.approx(float(other.detach()), abs=1e-6)


def test_joint_frequencies_are_added_up_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one process computes for the whole batch, each of two gets from its half and the other's sums."""
    from nervure.cluster.heads import information

    draw = torch.Generator().manual_seed(0)
    scores, copies = torch.randn(21, 4, generator=draw), torch.randn(21, 4, generator=draw)
    head = plain(4).train()
    whole = float(head.loss(scores, BATCH, copies).detach())
    sent: list[Tensor] = []
    monkeypatch.setattr(information, "shared_sum", lambda value: sent.append(value.detach()) or value)
    for rank in (0, 1):
        head.loss(scores[rank::2], BATCH, copies[rank::2])
    monkeypatch.setattr(information, "shared_sum", lambda value: sent[0] + sent[1])
    assert float(head.loss(scores[::2], BATCH, copies[::2]).detach()) == pytest.approx(whole, abs=1e-6)


def test_a_stand_in_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from nervure.cluster.heads import information

    sent: list[Tensor] = []
    rest = torch.full((5,), 0.5)
    monkeypatch.setattr(information, "shared_sum", lambda value: sent.append(value.detach()) or value + rest)
    head = plain().train()
    count_statistics(head, False)
    head.loss(torch.zeros(1, 2), BATCH)
    assert float(sent[0].abs().max()) == 0.0


def test_a_weak_cluster_divides_the_largest_along_its_principal_axis() -> None:
    """Of two groups in cluster 0, on both sides of 5 along the second value, each cluster gets one."""
    head = plain(3, patience=2)
    draw = torch.Generator().manual_seed(0)
    latents = 0.1 * torch.randn(30, 3, generator=draw) + torch.tensor([20.0, 0.0, -50.0])
    latents[:10, 1] += 10
    latents[20:, :2] = latents[20:, :2].flip(1)
    assert head.assign(latents).tolist() == [0] * 20 + [1] * 10
    assert head.refresh(Group.alone(latents), 1).repaired == ()
    found = head.refresh(Group.alone(latents), 2)
    assert found.repaired == ("cluster 2 divides cluster 0",)
    assert found.renewed == (head.linear.weight, head.linear.bias)
    groups = [set(part.tolist()) for part in found.assigned.split(10)]
    assert all(len(one) == 1 for one in groups) and groups[0] | groups[1] == {0, 2} and groups[2] == {1}
    assert head.weak.tolist() == [0, 0, 0]


def test_a_division_takes_nothing_from_other_clusters() -> None:
    """Clusters 0 and 1 lie near each other; 2 and 3 are empty, and divide what is largest at their turn."""
    draw = torch.Generator().manual_seed(0)
    wide = torch.randn(200, 4, generator=draw) * torch.tensor([0.3, 4.0, 0.3, 0.3]) + torch.tensor([4.0, 0, -60, -60])
    near = torch.randn(90, 4, generator=draw) * 0.3 + torch.tensor([0.0, 11.0, -60, -60])
    latents, head = torch.cat([wide, near]), plain(4, patience=1)
    head.linear.bias.data[1] = -4  # puts the boundary between both
    before = head.assign(latents)
    assert before.bincount(minlength=4)[2:].tolist() == [0, 0]
    found = head.refresh(Group.alone(latents), 1)
    assert len(found.repaired) == 2
    sizes = found.assigned.bincount(minlength=4)
    assert int(sizes.max()) < 0.6 * int(before.bincount().max())
    parts = {(int(one), int(other)) for one, other in zip(before, found.assigned, strict=True)}
    assert len(parts) == 4, "each cluster lies within one that was there before"


def test_a_division_in_the_last_phase_would_never_be_trained() -> None:
    latents = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, 0.0, -50.0])
    group = dataclasses.replace(Group.alone(latents), last=True)
    head = plain(3, patience=1)
    assert head.refresh(group, 1).repaired == ()
    assert head.refresh(dataclasses.replace(group, last=False), 2).repaired != ()


def test_a_division_is_the_same_on_two_processes() -> None:
    from nervure.cluster.heads.information import _principal

    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.tensor([1.0, 5.0, 2.0]))
    values = np.linalg.eigh(np.cov(rows.double().numpy().T, bias=True))
    mean, axis, spread = _principal(rows, lambda value: value)
    assert np.allclose(mean, rows.double().mean(0)) and float(spread) == pytest.approx(values[0][-1] ** 0.5)
    assert abs(float(axis @ torch.from_numpy(values[1][:, -1]))) == pytest.approx(1)
    sent: list[Tensor] = []
    for rank in (0, 1):  # the second sum, about the mean of all, differs from the one that is sent here
        _principal(rows[rank::2], lambda value: sent.append(value) or value)
    assert torch.allclose((sent[0] + sent[2])[:-1] / 40, mean)


def test_no_patience_leaves_dead_clusters() -> None:
    head = plain(3, patience=0)
    latents = torch.tensor([[20.0, 0, -50]]).repeat(6, 1)
    assert all(head.refresh(Group.alone(latents), epoch).repaired == () for epoch in range(7))


def test_a_second_layer_with_more_clusters_is_trained_beside() -> None:
    head = InformationHead(2, 3, over=7)
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(10, 3, generator=draw)
    head.loss(latents, BATCH, latents + 0.1).backward()
    assert head.over is not None and head.over.weight.shape == (7, 3)
    assert float(head.over.weight.grad.abs().sum()) > 0
    assert head(latents).shape == (10, 2)
    each = [layer(latents).softmax(1).detach() for layer in (head.linear, head.over)]
    both = -sum(mutual_information(p, p) for p in each) / 2
    assert float(head.loss(latents, BATCH).detach()) == pytest.approx(both, abs=1e-5)


def test_a_cluster_is_weak_below_a_fifth_of_an_even_share_so_often_in_a_row() -> None:
    head = plain(3)
    for sizes, weak in (((150, 129, 21), 0), ((150, 131, 19), 1), ((100, 100, 100), 0)):
        head.refresh(Group.alone(torch.eye(3).repeat_interleave(torch.tensor(sizes), dim=0)), 1)
        assert head.weak.tolist() == [0, 0, weak]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InputError, match="entropy_weight = 0"):
        InformationHead(2, 2, entropy_weight=0)
