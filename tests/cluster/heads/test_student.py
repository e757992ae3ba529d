from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nervure.cluster.heads import Group
from nervure.cluster.heads.student import StudentHead
from nervure.data.dataset import Batch
from nervure.errors import InputError

POINTS = torch.tensor([[0.0], [1.0], [8.0], [9.0]])


def with_centres(centres: Tensor, **settings: object) -> StudentHead:
    head = StudentHead(len(centres), centres.shape[1], **settings)
    with torch.no_grad():
        head.centres.copy_(centres)
    head.active.fill_(True)
    return head


def batch(at: list[int]) -> Batch:
    return Batch(torch.zeros(len(at), 1), None, torch.tensor(at))


def test_by_hand() -> None:
    """q = (1, 1/2) / 1.5 at 0; with the mass of both samples p = q² / f, its rows made to sum to 1."""
    head = with_centres(torch.tensor([[0.0], [1.0]]))
    latents = torch.tensor([[0.0], [1.0]])
    assert torch.allclose(head(latents).exp(), torch.tensor([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]))
    p = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
    assert torch.allclose(head.aims(Group.alone(latents)), p)
    expected = 0.8 * np.log(0.8 * 1.5) + 0.2 * np.log(0.2 * 3)
    assert float(head.loss(latents, batch([0, 1])).detach()) == pytest.approx(expected, abs=1e-6)


def test_targets_are_those_of_the_phase_by_position() -> None:
    head = with_centres(torch.tensor([[0.0], [1.0]])).train()
    head.aim = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    latents = torch.tensor([[0.0], [0.0]])
    found = head.loss(latents, batch([2, 0])).detach()
    assert float(found) == pytest.approx((np.log(3) + np.log(1.5)) / 2, abs=1e-6)
    # of two equal samples the sharpened target is what they have
    assert float(head.eval().loss(latents, batch([2, 0])).detach()) == pytest.approx(0, abs=1e-6)


def test_targets_are_the_same_in_parts() -> None:
    """Each process has some of the samples, and the mass of all of them."""
    draw = torch.Generator().manual_seed(0)
    latents, head = torch.randn(30, 2, generator=draw), with_centres(torch.randn(3, 2, generator=draw))
    whole = head.aims(Group.alone(latents))
    masses: list[Tensor] = []
    for rank in (0, 1):
        mine = torch.arange(30)[rank::2]
        head.aims(Group(latents[mine], 30, mine, lambda value: masses.append(value) or value))
    for rank in (0, 1):
        mine = torch.arange(30)[rank::2]
        found = head.aims(Group(latents[mine], 30, mine, lambda value: masses[0] + masses[1]))
        assert torch.allclose(found, whole[mine], atol=1e-6)


def test_moving_and_turning_everything_changes_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    latents, centres = torch.randn(20, 3, generator=draw), torch.randn(4, 3, generator=draw)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=draw))[0]
    plain, moved = with_centres(centres), with_centres(centres @ turn + 5)
    assert torch.allclose(plain(latents), moved(latents @ turn + 5), atol=1e-4)


def test_centres_are_trained() -> None:
    head = with_centres(torch.tensor([[0.0], [1.0]]))
    head.loss(torch.tensor([[0.2], [0.9], [0.1]]), batch([0, 1, 2])).backward()
    assert float(head.centres.grad.abs().min()) > 0


def test_a_dead_centre_stands_on_a_sample_again() -> None:
    head = with_centres(torch.tensor([[0.5], [8.5], [100.0]]), empty="reseed")
    found = head.refresh(Group.alone(POINTS), 1)
    assert found.repaired == ("cluster 2 reseeded",)
    assert found.renewed == (head.centres,)
    assert head.centres[2].item() in POINTS.flatten().tolist()
    assert torch.equal(found.assigned, head.assign(POINTS)) and 2 in found.assigned
    kept = with_centres(torch.tensor([[0.5], [8.5], [100.0]]), empty="keep").refresh(Group.alone(POINTS), 1)
    assert kept.repaired == kept.renewed == ()


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InputError, match="freedom = 0"):
        StudentHead(2, 2, freedom=0)
    with pytest.raises(InputError, match="init='best'"):
        StudentHead(2, 2, init="best")
