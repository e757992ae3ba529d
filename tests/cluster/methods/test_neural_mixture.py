"""Neural mixtures do as the spec's section 10 asks: priors, collapse that is seen, and digits."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nervure import cluster, data
from nervure.cluster import NeuralMixture
from nervure.features.agreement import matched_accuracy

Points = tuple[NDArray[np.float32], NDArray[np.int64]]
PLANE: dict[str, Any] = {
    "network": "mlp", "network_options": {"widths": [32, 32]}, "optimisation": "em-alone", "profile": "paper",
    "batch_size": 128, "patience": 0, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def circle() -> Points:
    """Ten separated groups of points in the plane."""
    draw = np.random.default_rng(0)
    groups = np.arange(1280) % 10
    at = 2 * np.pi * groups / 10
    x = 5 * np.stack([np.cos(at), np.sin(at)], axis=1) + draw.normal(0, 0.4, (1280, 2))
    return x.astype(np.float32), groups


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_priors_find_groups_of_unequal_size(seed: int) -> None:
    """Done 6: 30 and 70 of a hundred; without priors the larger group is cut."""
    draw = np.random.default_rng(seed)
    groups = (np.arange(10_000) < 3000).astype(np.int64)
    x = np.stack([3 - 6.0 * groups, 0.0 * groups], axis=1) + draw.normal(0, 0.5, (10_000, 2))
    ds = data.from_arrays(x.astype(np.float32), standardize=False, validation=0, test=0)
    model = NeuralMixture(2, priors=True, lr=1e-3, epochs=8, random_state=seed, **PLANE).fit(ds)
    assert matched_accuracy(groups, model.labels_) > 0.95
    assert abs(float(model.net_.head.prior.max()) - 0.5) > 0.05


@pytest.mark.parametrize("normalise", ["none", "detached"])
def test_scores_that_are_not_normalised_collapse_and_it_is_said(
    circle: Points, normalise: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Done 9."""
    with caplog.at_level(logging.WARNING, "nervure"):
        model = NeuralMixture(10, normalise=normalise, lr=3e-3, epochs=20, random_state=0, **PLANE).fit(circle[0])
    assert matched_accuracy(circle[1], model.labels_) < 0.5
    assert "clusters without a member" in caplog.text or "less than a fifth of an even share" in caplog.text
    assert any(row.get("repaired") for row in model.run_.history)


def test_normalised_scores_find_ten_groups(circle: Points) -> None:
    """Done 9: the best of three seeds, by loss."""
    models = [NeuralMixture(10, lr=3e-3, epochs=30, random_state=seed, **PLANE).fit(circle[0]) for seed in range(3)]
    best = min(models, key=lambda one: one.run_.history[-1]["train_loss"])
    assert matched_accuracy(circle[1], best.labels_) > 0.95


def test_consistency_alone_has_its_own_rate() -> None:
    ds = data.from_arrays(np.eye(12, dtype=np.float32), splits={"train": np.arange(12)}, validation=0, test=0)
    for optimisation, lr, rate in (("consistency", None, 0.2), ("two-fold", 0.1, 0.1), ("em", 0.1, 0.1)):
        recipe = NeuralMixture(3, optimisation=optimisation, lr=lr, consistency_lr=0.2).prepared(ds)[1].recipe
        assert recipe.lr == rate


# trains for 30 epochs on 1,797 digits
@pytest.mark.slow
def test_two_fold_finds_digits_better_than_k_means() -> None:
    """Done 10; k-means of the pixels has 0.79, this seed 0.95."""
    ds = data.load("digits")
    model = cluster.NeuralMixture(
        10, optimisation="two-fold", profile="quick", copies={"rotate": 17.0, "scale": 0.2, "shift": 0.125},
        random_state=0, device="cpu",
    ).fit(ds.x.reshape(-1, 8, 8))  # fmt: skip
    assert matched_accuracy(ds.y, model.labels_) > 0.85
