"""Two processes train under the masks that one would choose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nervure import data, nets, train
from nervure.train import Recipe, launch

# two processes train beside this one
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("together")]


def test_masks_are_decided_once(tmp_path: Path) -> None:
    ds = data.load("digits")
    sparse = {"name": "sparse-training", "options": {"criterion": "isparse", "sparsity": 0.6, "samples": 200}}
    recipe = Recipe(epochs=3, batch=127, optimizer="sgd", lr=0.05, keep="last", callbacks=(sparse,))
    net = nets.build("mlp", ds, widths=(30, 20), seed=0)
    one = train.fit(net, ds, recipe, device="cpu")
    two = launch.train(net, ds, recipe, out=tmp_path / "two", devices=2, threads=1, device="cpu")
    for column in ("sparsity", "mask_change"):
        assert [row[column] for row in one.history] == pytest.approx([row[column] for row in two.history], abs=2e-3)
    for name, value in one.net.state_dict().items():
        other = two.net.state_dict()[name]
        assert float((value != 0).eq(other != 0).float().mean()) > 0.99, name
        assert torch.allclose(value, other, atol=1e-3) or float((value - other).abs().median()) < 1e-4, name
