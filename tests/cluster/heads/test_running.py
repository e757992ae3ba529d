from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nervure.cluster import lloyd
from nervure.cluster.heads import Group
from nervure.cluster.heads.running import RunningHead
from nervure.errors import InputError


def running(centres: Tensor, start: float = 100.0, **settings: object) -> RunningHead:
    head = RunningHead(len(centres), centres.shape[1], start=start, **settings)
    head.centres.copy_(centres)
    head.active.fill_(True)
    return head


def one_by_one(centres: Tensor, counts: float, latents: Tensor) -> Tensor:
    """The publication's update: every sample is counted at its centre and moves it by one over the count."""
    found, seen = centres.double().numpy().copy(), np.full(len(centres), counts)
    wide = latents.double().numpy()
    chosen = ((wide[:, None] - found) ** 2).sum(2).argmin(1)
    for sample, cluster in zip(wide, chosen, strict=True):
        seen[cluster] += 1
        found[cluster] += (sample - found[cluster]) / seen[cluster]
    return torch.from_numpy(found)


def test_by_hand() -> None:
    head = running(torch.tensor([[0.0], [10.0]]), start=1)
    head.move(torch.tensor([[1.0], [2.0], [9.0]]), torch.arange(3), lambda value: value)
    assert head.centres.flatten().tolist() == [1.0, 9.5]
    assert head.counts.tolist() == [3.0, 2.0]


@pytest.mark.parametrize("start", [1.0, 100.0])
def test_equals_the_update_sample_by_sample(latents: Tensor, start: float) -> None:
    first = latents[:4].double()
    head = running(first, start)
    head.move(latents, torch.arange(len(latents)), lambda value: value)
    assert torch.allclose(head.centres, one_by_one(first, start, latents), atol=1e-9)


def test_from_nothing_it_is_one_lloyd_step(latents: Tensor) -> None:
    first = latents[:4].double()
    head = running(first, start=0)
    head.move(latents, torch.arange(len(latents)), lambda value: value)
    assert torch.allclose(head.centres, lloyd.step(lloyd.sums(latents, first), first))


def test_two_processes_move_centres_as_one_does(latents: Tensor) -> None:
    first = latents[:4].double()
    whole = running(first)
    whole.move(latents, torch.arange(400), lambda value: value)
    heads, sent = [running(first), running(first)], []
    for rank, head in enumerate(heads):
        head.move(latents[rank::2], torch.arange(400)[rank::2], lambda value: sent.append(value) or value)
    both = running(first)
    both.move(latents[::2], torch.arange(400)[::2], lambda value: sent[0] + sent[1])
    assert torch.allclose(both.centres, whole.centres)
    assert torch.equal(both.counts, whole.counts)


def test_a_process_without_samples_moves_with_the_others(latents: Tensor) -> None:
    first = latents[:4].double()
    whole, idle = running(first), running(first)
    sent: list[Tensor] = []
    whole.move(latents, torch.arange(400), lambda value: sent.append(value) or value)
    idle.move(latents[:0], torch.arange(0), lambda value: value + sent[0])
    assert torch.allclose(idle.centres, whole.centres)


def test_a_phase_leaves_living_centres_and_reseeds_dead_ones() -> None:
    points = torch.tensor([[0.0], [1.0], [8.0], [9.0]])
    head = running(torch.tensor([[0.0], [9.0], [50.0]]), start=7)
    head.counts.copy_(torch.tensor([20.0, 30.0, 40.0]))
    found = head.refresh(Group.alone(points), 1)
    assert found.repaired == ("cluster 2 reseeded",)
    assert head.centres[:2].flatten().tolist() == [0.0, 9.0]
    assert float(head.centres[2]) in points.flatten().tolist()
    assert head.counts.tolist() == [20.0, 30.0, 7.0]
    assert found.logs["inertia"] == 0.5  # two of four samples are 1 away from their centre
    assert float(head.variance) == 0.5


def test_a_centre_that_counts_for_none_stays_until_it_has_members() -> None:
    head = running(torch.tensor([[0.0], [50.0]]), start=0)
    head.move(torch.tensor([[1.0]]), torch.arange(1), lambda value: value)
    assert head.centres.flatten().tolist() == [1.0, 50.0]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InputError, match="start = -1"):
        RunningHead(2, 2, start=-1)
