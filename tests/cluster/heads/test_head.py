"""What all heads are given: the latents of a whole data set."""

from __future__ import annotations

import torch

from nervure.cluster.heads import Group

GROUP = Group.alone(torch.arange(200.0)[:, None], seed=3)


def test_samples_are_different_and_in_order() -> None:
    some = GROUP.sample(50).flatten()
    assert len(some) == 50 and bool((some.diff() > 0).all())
    assert torch.equal(GROUP.sample(200), GROUP.latents.double())
    assert not torch.equal(Group.alone(GROUP.latents, seed=4).sample(50).flatten(), some)


def test_draws_are_different_and_follow_seed_and_salt() -> None:
    first = GROUP.draw(20)
    assert len(first.unique()) == 20
    assert torch.equal(GROUP.draw(20), first)
    assert not torch.equal(GROUP.draw(20, salt=1), first)
    assert not torch.equal(Group.alone(GROUP.latents, seed=4).draw(20), first)
