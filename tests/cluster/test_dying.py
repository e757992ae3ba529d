from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from nervure import cluster, data
from nervure.cluster import em, lloyd
from nervure.cluster.dying import thinned_centres, thinned_mixture, weakest
from nervure.cluster.heads import Group
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.heads.mixture import MixtureHead
from nervure.cluster.heads.running import RunningHead
from nervure.cluster.watch import health

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]


def groups(count: int, each: int, dims: int, seed: int) -> tuple[torch.Tensor, NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    places = 8 * np.eye(count, dims)
    y = np.arange(count * each) % count
    return torch.from_numpy(places[y] + draw.normal(size=(len(y), dims))), y


@pytest.mark.parametrize("most", [6, 15])
@pytest.mark.parametrize(("count", "dims"), [(1, 3), (3, 3), (4, 8)])
def test_what_is_left_is_what_there_is(most: int, count: int, dims: int) -> None:
    latents, y = groups(count, 80, dims, most)
    start = lloyd.full(latents, most, 0)
    every = torch.ones(most, dtype=torch.bool)
    centres, alive, notes = thinned_centres(latents, start, every, 0.2)
    assert int(alive.sum()) == count
    assert len(notes) == most - count
    nearest = torch.cdist(latents, centres[alive]).argmin(1)
    assert adjusted_rand_score(y, nearest) == pytest.approx(1.0)
    mixture = em.of_assignment(latents, lloyd.nearest(latents, start)[0], start, 1e-2)
    thin, alive, _ = thinned_mixture(latents, mixture, every, 1.0, 1e-2, False)
    assert int(alive.sum()) == count
    assert thin.weights[~alive].tolist() == [0.0] * (most - count)
    assert float(thin.weights.sum()) == pytest.approx(1.0)
    assert bool(every.all())


def test_one_with_too_few_samples_goes_first() -> None:
    latents, y = groups(3, 60, 3, 0)
    sizes = torch.tensor([90.0, 3.0, 87.0])
    assert weakest(latents, torch.from_numpy(y), sizes, 5.0, torch.ones(3, dtype=torch.bool)) == (1, "too few samples")
    assert weakest(latents, torch.from_numpy(y), sizes, 2.0, torch.ones(3, dtype=torch.bool)) is None
    assert weakest(latents, torch.from_numpy(y), sizes, 3.0, torch.ones(3, dtype=torch.bool)) is None


def test_of_two_that_are_one_the_smaller_dies() -> None:
    points = torch.linspace(0, 1, 90)[:, None].double()
    every = torch.ones(2, dtype=torch.bool)
    for first, smaller in ((60, 1), (30, 0)):
        assigned = (torch.arange(90) >= first).long()
        sizes = torch.bincount(assigned).double()
        assert weakest(points, assigned, sizes, 5.0, every) == (smaller, f"one with cluster {1 - smaller}")


def test_an_even_share_is_one_of_those_alive() -> None:
    latents = torch.cat([torch.linspace(0, 1, 90), torch.linspace(8, 9, 10)])[:, None].double()
    centres, alive = torch.tensor([[0.5], [8.5], [4.0]]).double(), torch.tensor([True, True, False])
    assert thinned_centres(latents, centres, alive, 0.25)[2] == ("cluster 1 died: too few samples",)
    assert thinned_centres(latents, centres, alive, 0.2)[2] == ()


@pytest.mark.parametrize("kind", ["dcae-kmeans", "dcae-gmm"])
def test_clusters_that_may_die_wait_for_a_third_of_the_training(kind: str) -> None:
    ds = data.from_arrays(np.eye(12, dtype=np.float32), validation=0, test=0)
    for empty, warm in (("die", 10), ("reseed", 1)):
        model = cluster.clusterers.get(kind)(3, empty=empty, warmup=1, epochs=30)
        assert model.prepared(ds)[1].recipe.callbacks[0].options["warmup"] == warm


def test_a_component_needs_half_the_samples_of_its_numbers() -> None:
    """Eight samples far from the rest, in five dimensions: a full covariance has 20 numbers, a diagonal one 10."""
    draw = np.random.default_rng(0)
    latents = torch.from_numpy(np.concatenate([draw.normal(size=(200, 5)), 20 + draw.normal(size=(8, 5))]))
    assigned = (torch.arange(208) >= 200).long()
    means = torch.stack([latents[:200].mean(0), latents[200:].mean(0)])
    every = torch.ones(2, dtype=torch.bool)
    for diagonal, left in ((False, 1), (True, 2)):
        mixture = em.of_assignment(latents, assigned, means, 1e-2, diagonal)
        assert int(thinned_mixture(latents, mixture, every, 1.0, 1e-2, diagonal)[1].sum()) == left
    mixture = em.of_assignment(latents, assigned, means, 1e-2)
    assert int(thinned_mixture(latents, mixture, every, 2.0, 1e-2, False)[1].sum()) == 2  # each stands for two


@pytest.mark.parametrize("kind", [CentresHead, MixtureHead])
def test_predictions_never_use_a_dead_cluster(kind: type[CentresHead] | type[MixtureHead]) -> None:
    latents, y = groups(3, 60, 3, 1)
    head = kind(9, 3, empty="die")
    head.settle(Group.alone(latents))
    assert int(head.alive.sum()) == 3
    far = torch.cat([latents, torch.randn(500, 3, dtype=torch.float64) * 1e3])
    logs = head(far.float())
    assert bool(torch.isfinite(logs).all())
    assert set(logs.argmax(1).tolist()) | set(head.assign(far).tolist()) == set(
        torch.nonzero(head.alive).flatten().tolist()
    )
    assert torch.allclose(logs.exp().sum(1), torch.ones(len(far)), atol=1e-5)
    assert adjusted_rand_score(y, head.assign(latents)) == pytest.approx(1.0)
    moved = latents.clone().requires_grad_()
    slope = torch.autograd.grad(head.loss(moved, None), moved)[0]  # type: ignore[arg-type]
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("kind", [CentresHead, MixtureHead])
def test_settling_starts_from_all_again(kind: type[CentresHead] | type[MixtureHead]) -> None:
    head = kind(8, 4, empty="die")
    for count in (2, 4):
        head.settle(Group.alone(groups(count, 60, 4, 0)[0]))
        assert int(head.alive.sum()) == count


def test_none_dies_while_samples_still_move() -> None:
    latents, _ = groups(3, 60, 3, 2)
    head, group = CentresHead(8, 3, empty="die"), Group.alone(latents)
    head.begin(group)
    assert int(head.alive.sum()) == 3
    head.alive.fill_(True)
    head.centres.copy_(latents[:8] + 3)
    head.refresh(group, 1)
    assert bool(head.alive.all())
    for epoch in range(2, 20):
        found = head.refresh(group, epoch)
    assert int(head.alive.sum()) == 3
    assert set(found.assigned.tolist()) == set(torch.nonzero(head.alive).flatten().tolist())


def test_samples_of_components_that_died_have_another() -> None:
    latents, _ = groups(3, 60, 3, 2)
    start = lloyd.full(latents, 8, 0)
    head, group = MixtureHead(8, 3, empty="die"), Group.alone(latents)
    head._set(em.of_assignment(latents, lloyd.nearest(latents, start)[0], start, 1e-2))
    found = head.refresh(group, 1)
    for epoch in range(2, 30):
        if found.repaired:
            break
        found = head.refresh(group, epoch)
    assert found.repaired
    assert set(found.assigned.tolist()) == set(torch.nonzero(head.alive).flatten().tolist())


def test_running_centres_die_too() -> None:
    latents, _ = groups(3, 60, 3, 3)
    head, group = RunningHead(8, 3, empty="die"), Group.alone(latents)
    head.begin(group)
    head.refresh(group, 1)
    assert int(head.alive.sum()) == 3
    before = head.centres[~head.alive].clone()
    head.move(latents[:50], torch.arange(50), lambda value: value)
    assert torch.equal(head.centres[~head.alive], before)


def test_the_same_on_two_processes() -> None:
    latents, _ = groups(3, 60, 3, 4)
    head = MixtureHead(8, 3, init="kmeans", empty="die")
    head.begin(Group.alone(latents))
    head.refresh(Group.alone(latents), 1)
    parts = [torch.arange(180)[rank::2] for rank in range(2)]
    whole = Group.alone(latents)
    shared = [MixtureHead(8, 3, init="kmeans", empty="die") for _ in parts]
    for one in shared:
        one.load_state_dict(MixtureHead(8, 3).state_dict())
        one.begin(whole)
    # what a sum over processes gives is what one process alone has
    for one, places in zip(shared, parts, strict=True):
        one._set(one._thinned(head.mixture, Group(latents[places], 180, places, lambda _: whole.sample(180)))[0])
    assert torch.equal(shared[0].alive, shared[1].alive)
    assert torch.equal(shared[0].means, shared[1].means)


@pytest.mark.parametrize("kind", ["dcae-kmeans", "dcae-gmm"])
def test_training_finds_the_number_from_an_upper_bound(blobs: Blobs, kind: str) -> None:
    x, y = blobs
    made = cluster.clusterers.get(kind)
    options = {"epochs": 20, "batch_size": 25, "latent": 4, "network_options": {"widths": [16]}, "random_state": 0}
    model = made(10, empty="die", **options).fit(x)
    assert model.run_.metrics["clusters"] == 3
    assert adjusted_rand_score(y, model.labels_) == pytest.approx(1.0)
    assert model.predict_proba(x).max(axis=0)[~model.net_.head.alive.numpy()].max() == 0
    assert not [row for row in model.run_.history if "reseeded" in str(row.get("repaired"))]


def test_a_single_one_that_is_left_is_named_and_the_dead_are_not() -> None:
    latents, _ = groups(1, 60, 3, 3)
    head, group = CentresHead(4, 3, empty="die"), Group.alone(latents)
    head.begin(group)
    trouble = health(head, group, head.assign(latents)).trouble
    assert trouble == ("one cluster is left of 4; train latents longer before, or normalise them",)


@pytest.mark.slow  # trains on real digits
def test_digits_from_twice_as_many() -> None:
    ds = data.load("digits")
    model = cluster.DCAEGMM(20, empty="die", profile="quick", latent=10, random_state=0).fit(ds)
    assert 8 <= model.run_.metrics["clusters"] <= 12
    assert model.run_.metrics["ari"] > 0.6
