"""Pruning layer by layer: which epoch is reported, and that the test split decides nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from nervure import data, nets, train
from nervure.data import Dataset
from nervure.prune.training import layerwise
from nervure.study.layerwise_trial import LastRetraining, layerwise_trial
from nervure.study.trials import Job
from nervure.train import Recipe

BASE = {"net": "mlp", "net_options": {"widths": [32, 16]}, "recipe": {"epochs": 3, "lr": 5e-3}}


def test_three_accuracies_of_the_last_retraining_are_told_apart() -> None:
    settings = {"base": BASE, "criterion": "l1", "kind": "dense", "recipe": {"epochs": 4, "monitor": "accuracy"}}
    found = layerwise_trial(Job("digits", settings=settings, device="cpu")).metrics
    assert found["accuracy_best_test"] >= max(found["accuracy"], found["accuracy_last"])
    assert 0.5 < found["accuracy_last"] <= 1


def test_only_the_last_training_is_looked_at() -> None:
    ds = data.load("digits")
    net = nets.build("mlp", ds, widths=[16, 8])
    watch = LastRetraining(2, ds, "cpu")
    layerwise(net, ds, Recipe(epochs=3), 0.5, device="cpu", callbacks=[watch])
    assert len(watch.accuracies) == 3


def written(folder: Path, poisoned: bool) -> Dataset:
    """The digits with a test split of their own; a poisoned one holds noise beyond all bounds, and false labels."""
    held = load_digits()
    x, y = held.images[:, None].astype(np.float32), held.target.astype(np.int64)
    test_x, test_y = x[1400:], y[1400:]
    if poisoned:
        test_x, test_y = np.random.default_rng(0).normal(0, 1e6, test_x.shape).astype(np.float32), (test_y + 1) % 10
    file = folder / f"digits{poisoned:d}.npz"
    np.savez(file, x_train=x[:1400], y_train=y[:1400], x_test=test_x, y_test=test_y)
    return data.load(str(file))


@pytest.mark.parametrize("criterion", ["l1", "majority-vote"])
def test_a_poisoned_test_split_changes_nothing_but_the_test_figures(tmp_path: Path, criterion: str) -> None:
    runs, seen = [], []
    for poisoned in (False, True):
        ds = written(tmp_path, poisoned)
        base = train.fit(nets.build("mlp", ds, widths=[16, 8]), ds, Recipe(epochs=3, lr=1e-2, batch=32), device="cpu")
        watch = LastRetraining(2, ds, "cpu")
        recipe = Recipe(epochs=3, lr=1e-2, batch=32, monitor="accuracy")
        runs.append(layerwise(base, ds, recipe, 0.5, criterion, device="cpu", callbacks=[watch]))
        seen.append(watch.accuracies)
    clean, other = runs
    told = [[{name: value for name, value in row.items() if name != "seconds"} for row in one.history] for one in runs]
    assert told[0] == told[1]
    assert all(torch.equal(value, other.net.state_dict()[name]) for name, value in clean.net.state_dict().items())
    assert np.array_equal(clean.evidence["widths"].after, other.evidence["widths"].after)  # type: ignore[attr-defined]
    assert max(seen[1]) < 0.3 < max(seen[0])
    assert clean.metrics["accuracy"] != other.metrics["accuracy"]
