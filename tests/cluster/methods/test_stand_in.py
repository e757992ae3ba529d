"""The last batch has fewer samples than there are processes: one stands in with a sample that must not count."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clusterers import clusterer
from nervure import cluster, data
from nervure.cluster import consistency
from nervure.cluster.heads import scores
from nervure.cluster.heads.scores import ScoresHead
from nervure.cluster.net import attach_head
from nervure.cluster.phase import ClusterPhase
from nervure.cluster.runs import fit_together
from nervure.data.dataset import Batch
from nervure.nets import build
from nervure.train import Recipe
from nervure.train.synchronise import count_statistics

SETTINGS = {
    "network": "autoencoder", "network_options": {"widths": [8]}, "latent": 3, "batch_size": 10, "epochs": 2,
    "patience": 0, "random_state": 0,
}  # fmt: skip


# two processes train beside this one
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("term", ["activity", "labels"])
def test_two_processes_equal_one(tmp_path: Path, term: str) -> None:
    draw = np.random.default_rng(0)
    x = np.eye(4)[np.arange(21) % 4] * 4 + draw.normal(size=(21, 4))
    np.savez(tmp_path / "x.npz", x=x.astype(np.float32))
    ds = data.load(str(tmp_path / "x.npz"), validation=0, test=0)
    labels = np.where(np.arange(21) % 3, np.arange(21) % 4, -1) if term == "labels" else None
    model = cluster.DCAEKMeans(4, **SETTINGS, **{"labels": {"label_weight": 3.0}, "activity": {}}[term])
    if term == "activity":
        model.activity = (0.8, 0.8, 0.05)
    one = model.fit_run(ds, labels=labels)
    two = fit_together(model, ds, labels=labels, out=tmp_path / "two", devices=2, threads=1)
    assert [row[f"train_{term}"] for row in two.history] == pytest.approx(
        [row[f"train_{term}"] for row in one.history], rel=1e-4
    )
    for key, value in one.net.state_dict().items():
        assert float((value.double() - two.net.state_dict()[key].double()).abs().max()) < 1e-4, key


def test_its_posterior_does_not_enter_the_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    others = torch.tensor([0.9, 0.6, 1.5, 3.0])
    monkeypatch.setattr(scores, "sum_over_ranks", lambda mine: mine + others)
    head = ScoresHead(3, 3, priors=True, memory=0.0)
    count_statistics(head, False)
    head.loss(torch.randn(2, 3), Batch(torch.zeros(2, 1), None, torch.arange(2)))
    assert torch.allclose(head.prior, others[:3] / 3)


@pytest.mark.parametrize("counted", [True, False])
def test_its_sample_moves_no_centre(counted: bool) -> None:
    net = clusterer("running").train()
    net.head.active.fill_(True)
    count_statistics(net, counted)
    before = net.head.counts.clone()
    ClusterPhase().after_step(
        SimpleNamespace(net=net, recipe=Recipe()), Batch(torch.randn(5, 4), None, torch.arange(5))
    )
    assert float((net.head.counts - before).sum()) == (5 if counted else 0)


@pytest.mark.parametrize(("counted", "share"), [(True, 0.5), (False, 0.0)])
def test_its_consistency_moves_nothing(monkeypatch: pytest.MonkeyPatch, counted: bool, share: float) -> None:
    net = attach_head(build("mlp", in_shape=(4,), classes=3, widths=[8]), "scores", 3, latent=8).train()
    count_statistics(net, counted)
    loop = SimpleNamespace(
        net=net, world=2, step=0, recipe=SimpleNamespace(copies={}), train_data=SimpleNamespace(count=lambda step: 10)
    )
    shares: list[float] = []
    monkeypatch.setattr(consistency, "_average", lambda net, share: shares.append(share))
    second = consistency.Consistency()
    second.start(loop)
    second.after_step(loop, Batch(torch.randn(5, 4), None, torch.arange(5), copy=torch.randn(5, 4)))
    assert shares == [share]
