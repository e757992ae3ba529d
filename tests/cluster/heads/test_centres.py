from __future__ import annotations

import dataclasses

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from nervure.cluster import lloyd
from nervure.cluster.heads import Group
from nervure.cluster.heads.centres import CentresHead
from nervure.data.dataset import Batch
from nervure.errors import InputError


def batch(count: int) -> Batch:
    return Batch(torch.zeros(count, 1), None, torch.arange(count))


def test_a_phase_is_a_lloyd_step_by_scikit_learn(latents: Tensor) -> None:
    head = CentresHead(4, 3)
    group = Group.alone(latents)
    head.begin(group)
    before = head.centres.clone().numpy()
    found = head.refresh(group, 1)
    theirs = KMeans(4, init=before, n_init=1, max_iter=1).fit(latents.double().numpy())
    assert torch.allclose(head.centres, torch.from_numpy(theirs.cluster_centers_), atol=1e-5)
    # samples are assigned to the centres from before the step
    apart = torch.cdist(latents.double(), torch.from_numpy(before))
    assert found.assigned.tolist() == apart.argmin(1).tolist()
    assert found.logs["inertia"] == pytest.approx(float(apart.min(1).values.square().mean()))
    drifted = head.refresh(Group.alone(latents + 0.3), 2)
    assert float(head.variance) == pytest.approx(drifted.logs["inertia"] / 3)


def test_loss_by_hand() -> None:
    head = CentresHead(2, 2)
    head.centres.copy_(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
    latents = torch.tensor([[1.0, 1.0], [3.0, 0.0]], requires_grad=True)
    loss = head.loss(latents, batch(2))
    assert float(loss.detach()) == pytest.approx((2 + 1) / 2)
    assert torch.autograd.grad(loss, latents)[0].tolist() == [[1.0, 1.0], [-1.0, 0.0]]


def test_training_pulls_to_the_stored_cluster_and_evaluation_to_the_nearest() -> None:
    head = CentresHead(2, 1)
    head.centres.copy_(torch.tensor([[0.0], [4.0]]))
    head.stored = torch.tensor([1, 1])
    latents = torch.tensor([[1.0], [1.0]])
    assert float(head.train().loss(latents, batch(2))) == 9
    assert float(head.eval().loss(latents, batch(2))) == 1
    online = CentresHead(2, 1, assign="online")
    online.centres.copy_(head.centres)
    online.stored = head.stored
    assert float(online.train().loss(latents, batch(2))) == 1


def test_centres_take_no_gradient() -> None:
    assert not list(CentresHead(3, 2).parameters())


def test_the_published_recipe_keeps_a_collapse_and_reseeding_ends_it() -> None:
    latents = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    for empty, alive in (("keep", 1), ("reseed", 4)):
        head = CentresHead(4, 2, empty=empty)
        group = Group.alone(latents)
        head.begin(group)
        head.centres.copy_(torch.tensor([[0.0, 0], [90, 0], [0, 90], [90, 90]]))
        for epoch in range(1, 5):
            found = head.refresh(group, epoch)
        assert len(found.assigned.unique()) == alive


def test_refitting_replaces_the_first_steps(latents: Tensor) -> None:
    head, group = CentresHead(4, 3, refit_epochs=1), Group.alone(latents)
    head.begin(group)
    head.refresh(group, 1)
    best = KMeans(4, n_init=10, random_state=0).fit(latents.double().numpy())
    assert float(torch.cdist(head.centres, torch.from_numpy(best.cluster_centers_)).min(1).values.max()) < 1e-3


def test_so_many_phases_find_centres_anew(latents: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    full = lloyd.full
    monkeypatch.setattr(lloyd, "full", lambda some, clusters, seed: (runs.append(seed), full(some, clusters, seed))[1])
    head, group = CentresHead(4, 3, refit_epochs=3), Group.alone(latents)
    head.begin(group)
    for epoch in range(1, 6):
        head.refresh(group, epoch)
    assert runs == [1, 2, 3]


def test_centres_found_anew_keep_their_numbers_and_have_the_variance_about_them(latents: Tensor) -> None:
    head, group = CentresHead(4, 3, init="kmeans", refit_epochs=5), Group.alone(latents)
    head.begin(group)
    before = head.assign(latents)
    for epoch in range(1, 6):
        assert torch.equal(head.refresh(group, epoch).assigned, before)
    moved = CentresHead(4, 3, refit_epochs=1)
    moved.begin(group)
    moved.refresh(group, 1)
    apart = (latents.double() - moved.centres[moved.assign(latents)]).square().mean()
    assert float(moved.variance) == pytest.approx(float(apart))


def test_the_last_phase_revives_nothing() -> None:
    latents = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    head, group = CentresHead(2, 2), Group.alone(latents)
    head.begin(group)
    head.centres.copy_(torch.tensor([[0.0, 0], [90, 0]]))
    assert head.refresh(dataclasses.replace(group, last=True), 1).repaired == ()
    assert head.refresh(group, 2).repaired == ("cluster 1 reseeded",)


def test_centres_that_may_die_are_not_found_anew() -> None:
    noise = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    group = Group.alone(noise + 20 * torch.eye(3).repeat(100, 1))
    heads = [CentresHead(9, 3, empty="die", refit_epochs=count) for count in (0, 3)]
    for head in heads:
        head.begin(group)
        head.refresh(group, 1)
    assert 1 < int(heads[0].alive.sum()) < 9
    assert torch.equal(heads[0].alive, heads[1].alive)
    assert torch.equal(heads[0].centres, heads[1].centres)


def test_soft_assignments_are_those_of_spherical_gaussians() -> None:
    head = CentresHead(2, 1)
    head.centres.copy_(torch.tensor([[0.0], [2.0]]))
    head.variance.fill_(0.5)
    logs = head(torch.tensor([[0.5]]))
    weights = torch.tensor([[-0.25, -2.25]]).exp()
    assert torch.allclose(logs.exp(), weights / weights.sum(), atol=1e-6)


def test_permuted_centres_permute_the_result(latents: Tensor) -> None:
    head, turned = CentresHead(4, 3), CentresHead(4, 3)
    head.begin(Group.alone(latents))
    order = torch.tensor([2, 0, 3, 1])
    turned.centres.copy_(head.centres[order])
    turned.variance.copy_(head.variance)
    assert torch.allclose(turned(latents), head(latents)[:, order], atol=1e-5)
    assert torch.equal(order[turned.assign(latents)], head.assign(latents))


@pytest.mark.parametrize("wrong", [{"init": "best"}, {"empty": "ignore"}, {"assign": "late"}])
def test_wrong_settings_are_named(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        CentresHead(2, 2, **wrong)
