from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from nervure import cluster, data
from nervure.cluster.heads.variational import VariationalHead

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SMALL = {
    "epochs": 12, "warmup": 6, "latent": 2, "network_options": {"widths": [16]}, "batch_size": 25, "random_state": 0,
    "device": "cpu",
}  # fmt: skip


def test_groups_of_unequal_size_get_unequal_weights() -> None:
    draw = np.random.default_rng(0)
    sizes = np.repeat([0, 1], [40, 160])
    x = (np.array([-4.0, 4.0])[sizes][:, None] + draw.normal(0, 0.4, (200, 3))).astype(np.float32)
    model = cluster.VaDE(2, **SMALL).fit(x)
    assert len(set(zip(model.labels_.tolist(), sizes.tolist(), strict=True))) == 2
    head = model.net_.head
    assert isinstance(head, VariationalHead)
    assert abs(head.weights.min().item() - 0.2) < 0.05


def test_the_mixture_and_the_noise_are_trained(blobs: Blobs) -> None:
    model = cluster.VaDE(3, **SMALL).fit(blobs[0])
    head = model.net_.head
    assert float(head.spread.weight.detach().abs().max()) > 0
    assert {"train_reconstruction", "train_cluster"} <= set(model.run_.history[-1])
    before = cluster.VaDE(3, **{**SMALL, "epochs": 6}).fit(blobs[0]).net_.head
    assert not torch.equal(before.means, head.means)
    assert float(before.spread.weight.abs().max()) == 0


def test_the_publications_rate_falls_by_a_tenth_each_ten_epochs() -> None:
    ds = data.from_arrays(np.eye(12, dtype=np.float32), splits={"train": np.arange(12)}, validation=0, test=0)
    recipe = cluster.VaDE(3, profile="paper").prepared(ds)[1].recipe
    assert (recipe.schedule, recipe.gamma, recipe.milestones[:2]) == ("step", 0.9, (10, 20))
    assert cluster.VaDE(3).prepared(ds)[1].recipe.schedule == "constant"
