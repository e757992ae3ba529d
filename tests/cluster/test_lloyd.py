from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor

from nervure.cluster import lloyd
from nervure.cluster.heads import Group
from nervure.cluster.heads.centres import CentresHead


def test_one_step_is_scikit_learns(latents: Tensor) -> None:
    centres = latents[:4].double()
    found = lloyd.step(lloyd.sums(latents, centres), centres)
    theirs = KMeans(4, init=centres.numpy(), n_init=1, max_iter=1).fit(latents.double().numpy())
    assert np.allclose(found.numpy(), theirs.cluster_centers_, atol=1e-5)


@given(cut=st.integers(1, 399))
def test_sums_of_shards_are_sums_of_all(cut: int) -> None:
    draw = torch.Generator().manual_seed(2)
    latents, centres = torch.randn(400, 3, generator=draw) + 50, torch.randn(5, 3, generator=draw) + 50
    whole = lloyd.sums(latents, centres).packed()
    parts = lloyd.sums(latents[:cut], centres).packed() + lloyd.sums(latents[cut:], centres).packed()
    assert torch.allclose(whole, parts, rtol=1e-12)


def test_sums_by_hand() -> None:
    found = lloyd.sums(torch.tensor([[0.0, 0], [2, 0], [9, 9]]), torch.tensor([[1.0, 0], [8, 8], [50, 50]]))
    assert found.counts.tolist() == [2, 1, 0]
    assert found.totals.tolist() == [[2, 0], [9, 9], [0, 0]]
    assert float(found.inertia) == 1 + 1 + 2


def test_a_cluster_without_members_stays_where_it_is() -> None:
    centres = torch.tensor([[0.0], [100.0]])
    assert lloyd.step(lloyd.sums(torch.tensor([[1.0], [3.0]]), centres), centres).tolist() == [[2.0], [100.0]]


def test_equal_distances_go_to_the_first_centre() -> None:
    chosen, _ = lloyd.nearest(torch.tensor([[0.0]]), torch.tensor([[1.0], [-1.0]]))
    assert chosen.tolist() == [0]


def test_inertia_never_rises_over_phases(latents: Tensor) -> None:
    """With the network at rest every Lloyd step lowers E2 or leaves it (spec deepcluster, S3, done)."""
    head = CentresHead(4, 3)
    group = Group.alone(latents)
    head.begin(group)
    inertia = [head.refresh(group, epoch).logs["inertia"] for epoch in range(1, 13)]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(inertia))
    assert inertia[-1] < inertia[0]


@pytest.mark.parametrize("how", ["samples", "kmeans++", "kmeans", "normal", "xavier"])
def test_seeding_follows_its_seed(how: str, latents: Tensor) -> None:
    one, same, other = (lloyd.seed_centres(latents, 4, how, seed) for seed in (0, 0, 1))
    assert one.shape == (4, 3)
    assert torch.equal(one, same)
    if how != "kmeans":
        assert not torch.equal(one, other)
    if how in ("samples", "kmeans++"):
        assert all(any(torch.equal(row, latent.double()) for latent in latents) for row in one)


def test_xavier_reaches_as_far_as_clusters_and_values_together_say() -> None:
    wide = lloyd.seed_centres(torch.zeros(9, 600), 400, "xavier", 0)
    bound = (6 / 1000) ** 0.5
    assert 0.999 * bound < float(wide.abs().max()) <= bound


def test_numbers_follow_the_old_groups() -> None:
    draw = np.random.default_rng(0)
    table = torch.from_numpy(draw.integers(0, 20, (5, 5)).astype(float))
    found = lloyd.aligned(table)
    best = max(itertools.permutations(range(5)), key=lambda one: sum(table[i, j] for i, j in enumerate(one)))
    assert found.tolist() == list(best)
