"""Wide latents seen through a lens; here 8 values of 40 are many."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nervure import cluster, data
from nervure.cluster.encode import encode
from nervure.cluster.heads import Group, lens
from nervure.cluster.heads.information import InformationHead
from nervure.cluster.heads.pseudo import PseudoHead
from nervure.cluster.heads.scores import ScoresHead
from nervure.cluster.method import begin
from nervure.data import Loader

WIDE, LATENT = 8, 40


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens, "WIDE", WIDE)
    monkeypatch.setattr("nervure.cluster.heads.head.WIDE", WIDE)


@pytest.fixture
def wide() -> tuple[Tensor, Tensor]:
    """Four groups, far apart in a plane of 40 values, and which is which."""
    draw = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(LATENT, 2, generator=draw)).Q
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    groups = torch.arange(200) % 4
    return 20 * corners[groups] @ axes.T + 0.3 * torch.randn(200, LATENT, generator=draw) + 3, groups


def seen(head: ScoresHead | InformationHead | PseudoHead, latents: Tensor) -> Group:
    through = head.lens()
    assert through is not None
    alone = Group.alone(latents @ through)
    return Group(alone.latents, alone.total, alone.places, alone.reduce, 0, through)


def test_a_lens_keeps_lengths_in_its_span_and_is_always_the_same() -> None:
    assert lens.lens(WIDE) is None
    through = lens.lens(LATENT)
    assert through is not None
    assert torch.allclose(through.T @ through, torch.eye(WIDE), atol=1e-5)
    assert torch.equal(through, lens.lens(LATENT))


@pytest.mark.parametrize("head", [ScoresHead(4, LATENT), InformationHead(4, LATENT)], ids=["scores", "information"])
def test_scores_are_seen_exactly(head: ScoresHead | InformationHead, wide: tuple[Tensor, Tensor]) -> None:
    weight = head.linear.weight
    before = weight.detach().clone()
    group = seen(head, wide[0])
    with torch.no_grad(), head.seen_through(group.lens):
        head.begin(group)
        assigned, probabilities = head.assign(group.latents), head.probabilities(group.latents)
        assert head.linear.weight is weight
        assert weight.shape == (4, WIDE + 4)
    assert torch.equal(weight, before)
    assert torch.equal(assigned, head.eval().assign(wide[0]))
    assert torch.allclose(probabilities, head.probabilities(wide[0]), atol=1e-4)


@pytest.mark.parametrize("kind", [ScoresHead, InformationHead])
def test_rows_that_a_phase_changes_are_brought_back(
    kind: type[ScoresHead] | type[InformationHead], wide: tuple[Tensor, Tensor]
) -> None:
    """One cluster has no member and gets some: of latents as of what the phase saw."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = kind(3, LATENT, patience=1)
    with torch.no_grad():
        head.linear.weight[2] = head.linear.weight[1]
        head.linear.bias.copy_(torch.tensor([0.0, 0.0, -90.0]))
    before, group = head.linear.weight.detach().clone(), seen(head, wide[0])
    with torch.no_grad(), head.seen_through(group.lens):
        head.begin(group)
        found = head.refresh(group, 1)
    assert found.repaired
    changed = (head.linear.weight != before).any(dim=1).tolist()
    assert changed[2]
    assert not all(changed)
    assert (found.assigned == head.eval().assign(wide[0])).double().mean() > 0.98


def test_whitened_features_of_a_projection_group_as_those_of_the_latents(wide: tuple[Tensor, Tensor]) -> None:
    latents, groups = wide
    head = PseudoHead(4, LATENT, components=2)
    group = seen(head, latents)
    with torch.no_grad(), head.seen_through(group.lens):
        head.begin(group)
        inside = head.features(group.latents)
        assert head.mean.shape == (WIDE,)
        head.refresh(group, 1)
        head.settle(group)
    assert head.whitening.shape == (LATENT, 2)
    assert torch.allclose(head.features(latents), inside, atol=1e-3)
    assert len(set(zip(head.assign(latents).tolist(), groups.tolist(), strict=True))) == 4


@pytest.mark.parametrize("method", ["neural-mixture", "iic", "deep-cluster"])
def test_methods_hold_no_wide_latents(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.normal(at, 0.3, (60, 2)) for at in (-3, 3)]).astype(np.float32)
    model = cluster.clusterers.get(method)(
        2, epochs=20, lr=1e-2, network="mlp", network_options={"widths": [LATENT]}, n_init=1, random_state=0,
        snapshots=[20], patience=0, device="cpu",
    )  # fmt: skip
    run = model.fit_run(x)
    assert sorted(np.bincount(model.labels_).tolist()) == [60, 60]
    assert run.evidence["snapshot-20"].data["latents"].shape == (120, WIDE)
    spread = model.transform(x).std(axis=0)
    assert run.history[-1]["latent_spread"] == pytest.approx(float(np.sqrt((spread**2).mean())), rel=0.7)
    ds, made = model.prepared(data.from_arrays(x, validation=0, test=0))
    group = encode(begin(made, 2, ds), Loader(ds, "train", 50), 120)
    assert group.latents.shape[1] <= WIDE + 2
