from __future__ import annotations

import pytest
import torch

from nervure.cluster import lloyd
from nervure.cluster.heads import Group
from nervure.cluster.revive import duplicates, revive

LATENTS = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
CENTRES = torch.tensor([[1.0], [100.0]])


def after(how: str, centres: torch.Tensor = CENTRES) -> tuple[torch.Tensor, tuple[str, ...]]:
    group = Group.alone(LATENTS, seed=3)
    return revive(centres, lloyd.sums(LATENTS, centres), group, how, salt=1)


def test_a_dead_centre_is_reseeded_on_a_latent() -> None:
    moved, notes = after("reseed")
    assert moved[0].tolist() == [1.0]
    assert moved[1].item() in LATENTS.flatten().tolist()
    assert notes == ("cluster 1 reseeded",)


def test_a_dead_centre_moves_to_the_farthest_latent() -> None:
    moved, _ = after("farthest")
    assert moved.tolist() == [[1.0], [10.0]]
    moved, _ = after("farthest", torch.tensor([[1.0], [100.0], [200.0], [300.0]]))
    assert moved.tolist() == [[1.0], [10.0], [0.0], [2.0]]  # the farthest from those that moved before, too


def test_a_dead_centre_splits_the_largest_cluster() -> None:
    moved, notes = after("split")
    assert moved[1].item() in LATENTS.flatten().tolist()
    assert notes == ("cluster 1 split off cluster 0",)


@pytest.mark.parametrize("how", ["keep", "die"])
def test_a_dead_centre_may_stay(how: str) -> None:
    moved, notes = after(how)
    assert torch.equal(moved, CENTRES)
    assert not notes


def test_a_centre_on_another_one_counts_as_dead() -> None:
    assert duplicates(torch.tensor([[0.0], [5.0], [5.0], [9.0]])).tolist() == [False, False, True, False]
    _, notes = after("reseed", torch.tensor([[1.0], [10.0], [10.0]]))
    assert notes == ("cluster 2 reseeded",)


def test_what_is_drawn_follows_the_seed() -> None:
    assert torch.equal(after("reseed")[0], after("reseed")[0])


def test_centres_that_die_together_or_later_stand_on_samples_of_their_own() -> None:
    group = Group.alone(torch.arange(1000.0)[:, None])
    centres = torch.tensor([[500.0], [-9e5], [9e5]])
    found = [revive(centres, lloyd.sums(group.latents, centres), group, "reseed", salt)[0] for salt in (1, 2)]
    assert len(torch.cat([one[1:] for one in found]).unique()) == 4


def test_a_split_takes_a_member_of_the_largest_cluster() -> None:
    centres, group = torch.tensor([[1.0], [10.0], [100.0]]), Group.alone(LATENTS)
    places = {float(revive(centres, lloyd.sums(LATENTS, centres), group, "split", salt)[0][2]) for salt in range(20)}
    assert places == {0.0, 1.0, 2.0}


def test_centres_lie_on_each_other_within_a_thousandth_of_what_is_typical() -> None:
    for away, same in ((2e-3, False), (5e-4, True)):
        assert bool(duplicates(torch.tensor([[0.0], [1.0], [away]])).any()) is same
