"""What heads learn on the way survives a kill: targets, counts, noise and new classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from killing import KillAt, Killed
from nervure import cluster, data
from nervure.cluster.method import begin
from nervure.train import fit

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SHARED = {"epochs": 6, "batch_size": 20, "random_state": 0, "patience": 0}
DENSE = {**SHARED, "warmup": 2, "latent": 2, "network_options": {"widths": [8]}}
MODELS = {
    "dcn": cluster.DCN(3, **DENSE),
    "dec": cluster.DEC(3, **DENSE),
    "idec": cluster.IDEC(3, **DENSE),
    "vade": cluster.VaDE(3, **DENSE),
    "iic": cluster.IIC(3, **SHARED),
    "deep-cluster": cluster.DeepCluster(3, **SHARED),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_killed_and_resumed_equals_uninterrupted(blobs: Blobs, tmp_path: Path, name: str) -> None:
    ds = data.from_arrays(blobs[0], splits={"train": np.arange(150)}, validation=0, test=0)
    ds, method = MODELS[name].prepared(ds)
    recipe = method.recipe.model_copy(update={"checkpoint_steps": 3})
    net = begin(method, 3, ds)
    whole = fit(net, ds, recipe, out=tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        fit(net, ds, recipe, out=tmp_path / "cut", device="cpu", callbacks=[KillAt(30)])
    resumed = fit(net, ds, recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[KillAt(-1)])
    for key, value in whole.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[key]), key
    assert [row["changed"] for row in whole.history[2:]] == [row["changed"] for row in resumed.history[2:]]
