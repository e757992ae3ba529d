from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nervure import cluster, data
from nervure.cluster.method import begin, warm_epochs
from nervure.errors import InputError
from nervure.train import fit

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SMALL = {
    "epochs": 4, "warmup": 2, "latent": 2, "network_options": {"widths": [8]}, "batch_size": 50, "patience": 0,
    "random_state": 0, "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "kept"), [(cluster.DEC, True), (cluster.IDEC, False), (cluster.DCEC, False)])
def test_after_the_warm_up_dec_alone_leaves_the_decoder(blobs: Blobs, kind: type, kept: bool) -> None:
    x = blobs[0]
    warm = kind(3, **{**SMALL, "epochs": 2}).fit(x).net_
    whole = kind(3, **SMALL).fit(x).net_
    same = [
        torch.equal(one, other)
        for one, other in zip(warm.decoder.parameters(), whole.decoder.parameters(), strict=True)
    ]
    assert all(same) if kept else not any(same)
    assert not torch.equal(next(warm.encoder.parameters()), next(whole.encoder.parameters()))
    assert not torch.equal(warm.head.centres, whole.head.centres)


def test_the_rate_changes_with_the_warm_ups_end(blobs: Blobs) -> None:
    model = cluster.DEC(3, cluster_lr=2e-4, **SMALL).fit(blobs[0])
    assert [row["lr"] for row in model.run_.history] == pytest.approx([1e-3, 1e-3, 2e-4, 2e-4])
    same = cluster.DEC(3, **SMALL).fit(blobs[0])
    assert {row["lr"] for row in same.run_.history} == {1e-3}


def test_the_publications_optimizer() -> None:
    ds = data.from_arrays(np.eye(12, dtype=np.float32), splits={"train": np.arange(12)}, validation=0, test=0)
    recipe = cluster.DEC(3, profile="paper").prepared(ds)[1].recipe
    assert (recipe.optimizer, recipe.lr, recipe.gamma, recipe.milestones) == ("sgd", 1.0, 0.01, (300,))
    net = begin(cluster.DEC(3, profile="paper", latent=10).prepared(ds)[1], 3, ds)
    dense = [layer.out_features for layer in net.encoder.modules() if isinstance(layer, torch.nn.Linear)]
    assert dense == [500, 500, 2000, 10]


def test_the_rate_of_clusters_holds_without_a_warm_up(blobs: Blobs) -> None:
    ds = data.from_arrays(blobs[0], validation=0, test=0)
    assert cluster.DEC(3, profile="paper", warmup=0).prepared(ds)[1].recipe.lr == 0.01
    recipe = cluster.DEC(3, warmup=0, cluster_lr=1e-5).prepared(ds)[1].recipe
    assert (recipe.lr, recipe.schedule) == (1e-5, "constant")
    with pytest.raises(InputError, match="cluster_lr: a schedule"):
        cluster.DEC(3, cluster_lr=1e-5, recipe={"schedule": "cosine"}).prepared(ds)


@pytest.mark.parametrize("kind", [cluster.DEC, cluster.IDEC, cluster.DCEC, cluster.DCN, cluster.VaDE])
def test_a_shorter_training_as_published_has_a_shorter_warm_up(kind: type) -> None:
    x = np.random.default_rng(0).random((40, 8, 8), dtype=np.float32)
    ds = data.from_arrays(x, validation=0, test=0)
    profile = kind.profiles["paper"]
    for epochs in (profile["epochs"], profile["epochs"] // 5, 2):
        warm = warm_epochs(kind(3, profile="paper", epochs=epochs).prepared(ds)[1].recipe)
        assert 0 < warm < epochs
        assert warm == pytest.approx(profile["warmup"] * epochs / profile["epochs"], abs=1)


def test_training_ends_when_nothing_changes(blobs: Blobs) -> None:
    model = cluster.DEC(3, **{**SMALL, "epochs": 60, "patience": 3}).fit(blobs[0])
    assert len(model.run_.history) < 30
    assert [row["changed"] < 0.001 for row in model.run_.history[-3:]] == [True] * 3


def test_each_epoch_sharpens(blobs: Blobs) -> None:
    ds = data.from_arrays(blobs[0], splits={"train": np.arange(150)}, validation=0, test=0)
    ready, method = cluster.DEC(3, **{**SMALL, "epochs": 20, "lr": 1e-2}).prepared(ds)
    history = fit(begin(method, 3, ready), ready, method.recipe, device="cpu").history
    assert history[-1]["confidence"] > history[2]["confidence"] + 0.02
