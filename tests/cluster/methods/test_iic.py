from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from nervure import cluster, data
from nervure.features.agreement import matched_accuracy


@pytest.mark.parametrize(("shape", "change"), [((6,), "jitter"), ((1, 8, 8), "rotate"), ((2, 12), "time_warp")])
def test_copies_suit_the_kind_of_data(shape: tuple[int, ...], change: str) -> None:
    x = np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32)
    ds = data.from_arrays(x, splits={"train": np.arange(30)}, validation=0, test=0)
    recipe = cluster.IIC(3).prepared(ds)[1].recipe
    assert recipe.copies is not None and change in recipe.copies
    assert cluster.IIC(3, copies={"jitter": 0.7}).prepared(ds)[1].recipe.copies == {"jitter": 0.7}


@pytest.mark.parametrize("kind", [cluster.IIC, cluster.NeuralMixture])
def test_a_short_last_batch_is_left_out_where_there_are_more_than_two(kind: type) -> None:
    x = np.random.default_rng(0).normal(size=(31, 6))
    ds = data.from_arrays(x, splits={"train": np.arange(31)}, validation=0, test=0)
    for size, dropped in ((15, True), (16, False)):
        assert kind(3, batch_size=size).prepared(ds)[1].recipe.drop_last is dropped


def test_a_dead_cluster_comes_back() -> None:
    """Three groups, two of them close to each other: without the remedy one cluster stays empty."""
    x, y = make_blobs(n_samples=200, random_state=1)
    shared = {"epochs": 40, "batch_size": 50, "lr": 5e-3, "random_state": 1, "device": "cpu"}
    model = cluster.IIC(3, **shared).fit(x)
    assert any("divides" in str(row.get("repaired")) for row in model.run_.history)
    assert matched_accuracy(y, model.labels_) > 0.9
