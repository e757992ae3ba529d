"""Two processes prune and move connections as one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from nervure import data, nets, train
from nervure.train import Recipe, launch

# two processes train beside this one
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("together")]


def test_votes_and_sparse_training(tmp_path: Path) -> None:
    ds = data.load("digits")
    votes = {"name": "iterative-votes", "options": {"epochs": 1, "remove": 0.2, "tolerance": 1.0, "cycles": 2}}
    recipe = Recipe(
        epochs=3, batch=127, optimizer="sgd", lr=0.01, monitor="accuracy", keep="last",
        callbacks=(votes, {"name": "set", "options": {"epsilon": 4}}),
    )  # fmt: skip
    net = nets.build("mlp", ds, widths=(30, 20))
    one = train.fit(net, ds, recipe, device="cpu")
    two = launch.train(net, ds, recipe, out=tmp_path / "two", devices=2, threads=1, device="cpu")
    for column in ("widths", "n_weights", "connections", "orphans", "event"):
        assert [row[column] for row in one.history] == [row[column] for row in two.history]
    assert [row["widths"] for row in two.history] == ["30-20", "24-16", "19-12"]
    for name, value in one.net.state_dict().items():
        assert float((value - two.net.state_dict()[name]).abs().max()) < 1e-4, name
