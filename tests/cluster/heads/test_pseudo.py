from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from nervure.cluster import lloyd
from nervure.cluster.heads import Group
from nervure.cluster.heads.pseudo import PseudoHead, whiten
from nervure.data.dataset import Batch
from nervure.errors import InputError


def covariance(latents: Tensor) -> Tensor:
    away = latents.double() - latents.double().mean(dim=0)
    return away.T @ away / len(latents)


def batch(at: list[int]) -> Batch:
    return Batch(torch.zeros(len(at), 1), None, torch.tensor(at))


@pytest.mark.parametrize("components", [1, 2, 3])
def test_whitening_equals_principal_components(latents: Tensor, components: int) -> None:
    wide = latents.double()
    found = (wide - wide.mean(dim=0)) @ whiten(covariance(latents), components)
    model = PCA(components, whiten=True).fit(wide.numpy())
    expected = model.transform(wide.numpy()) * np.sqrt(len(wide) / (len(wide) - 1))
    assert np.allclose(np.abs(found.numpy()), np.abs(expected), atol=1e-8)
    assert torch.allclose(covariance(found), torch.eye(components, dtype=torch.float64), atol=1e-8)


def test_directions_without_variance_become_zero(latents: Tensor) -> None:
    flat = torch.cat([latents, latents[:, :1] * 0 + 7, latents[:, :1]], dim=1).double()
    white = (flat - flat.mean(dim=0)) @ whiten(covariance(flat), 5)
    assert torch.isfinite(white).all()
    assert white.square().mean(dim=0).round(decimals=6).tolist() == [1, 1, 1, 0, 0]


def test_features_do_not_see_how_latents_are_scaled_turned_or_moved(latents: Tensor) -> None:
    """After whitening and on the sphere groups are the same for any invertible map of the latents."""
    draw = torch.Generator().manual_seed(3)
    mixed = (latents.double() @ torch.randn(3, 3, generator=draw, dtype=torch.float64)).float() * 10 - 4
    heads = []
    for seen in (latents, mixed):
        head = PseudoHead(4, 3)
        head.begin(Group.alone(seen))
        heads.append(head.assign(seen))
    pairs = set(zip(heads[0].tolist(), heads[1].tolist(), strict=True))
    assert len(pairs) == 4


def test_loss_weighs_each_group_the_same() -> None:
    head = PseudoHead(2, 1).train()
    torch.nn.init.zeros_(head.classifier.weight)
    with torch.no_grad():
        head.classifier.bias.copy_(torch.tensor([0.0, np.log(3.0)]))
        head.balance.copy_(torch.tensor([2.0, 0.5]))
    head.aim = torch.tensor([1, 0, 1, 1])
    found = head.loss(torch.zeros(2, 1), batch([1, 3])).detach()
    assert float(found) == pytest.approx((2 * np.log(4) + 0.5 * np.log(4 / 3)) / 2, abs=1e-6)
    head.pseudo.copy_(torch.tensor([[1.0], [-1.0]]))  # otherwise labels are of what is seen
    assert float(head.eval().loss(torch.ones(2, 1), batch([1, 3])).detach()) == pytest.approx(2 * np.log(4), abs=1e-6)


def test_balance_is_the_mean_size_over_the_size(latents: Tensor) -> None:
    head, group = PseudoHead(4, 3), Group.alone(latents)
    head.begin(group)
    sizes = torch.bincount(head.aims(group), minlength=4)
    assert torch.allclose(head.balance, 100 / sizes)


def test_a_phase_keeps_numbers_and_starts_a_new_classifier(latents: Tensor) -> None:
    head = PseudoHead(4, 3)
    head.begin(Group.alone(latents))
    before = head.aims(Group.alone(latents))
    torch.nn.init.ones_(head.classifier.weight)
    torch.nn.init.ones_(head.classifier.bias)
    drift = latents + 0.05 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    found = head.refresh(Group.alone(drift), 7)
    assert found.renewed == (head.classifier.weight, head.classifier.bias)
    assert 0 < float(head.classifier.weight.detach().abs().max()) < 0.1
    assert head.classifier.bias.tolist() == [0] * 4
    assert float((found.assigned == before).double().mean()) > 0.9
    apart = head.features(drift.double()) - head.centres[found.assigned]
    assert float(head.variance) == pytest.approx(float(apart.square().mean()), rel=1e-4)


def test_more_groups_than_clusters(latents: Tensor) -> None:
    head, group = PseudoHead(4, 3, groups=12, components=2), Group.alone(latents)
    head.begin(group)
    assert head.aims(group).unique().numel() == 12
    assert head(latents).shape == (400, 4)
    moved = Group.alone(latents * torch.tensor([1.0, 3.0, 1.0]) - 50)
    head.settle(moved)
    assert torch.allclose(head.mean, moved.latents.double().mean(dim=0))
    head.settle(group)
    assert torch.bincount(head.assign(latents), minlength=4).min() > 0


def test_clusters_of_more_groups_keep_their_numbers(latents: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    head, group = PseudoHead(4, 3, groups=8, components=2), Group.alone(latents)
    head.begin(group)
    before = head.assign(latents)
    full = lloyd.full
    monkeypatch.setattr(lloyd, "full", lambda *arguments: full(*arguments).flip(0))
    after = head.refresh(group, 1).assigned
    assert float((before == after).double().mean()) > 0.9


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InputError, match="groups = 2"):
        PseudoHead(3, 2, groups=2)
