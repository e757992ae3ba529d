"""Methods whose heads add something up over processes cluster on two as on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nervure import cluster, data
from nervure.cluster.method import begin
from nervure.train import fit, launch

DENSE = {"network": "autoencoder", "network_options": {"widths": [32]}, "warmup": 1}
MODELS = {
    "dcn": cluster.DCN(10, epochs=3, batch_size=127, patience=0, random_state=0, **DENSE),
    "idec": cluster.IDEC(10, epochs=3, batch_size=127, patience=0, random_state=0, **DENSE),
    "iic": cluster.IIC(
        10, epochs=2, batch_size=127, lr=0.5, random_state=0, network="mlp", network_options={"widths": [32]}
    ),
    "deep-cluster": cluster.DeepCluster(
        10, epochs=2, batch_size=127, random_state=0, network="mlp", network_options={"widths": [32]}
    ),
}


# two processes train beside this one
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("name", list(MODELS))
def test_two_processes_cluster_as_one_does(tmp_path: Path, name: str) -> None:
    ds = data.load("digits", standardize="each-min-max", validation=0, test=0)
    prepared, method = MODELS[name].prepared(ds)
    net, recipe = begin(method, 10, prepared), method.recipe
    if name == "iic":  # its first gradients are tiny, and Adam would make their last digits as large as the others
        recipe = recipe.model_copy(update={"optimizer": "sgd"})
    one = fit(net, prepared, recipe, device="cpu")
    two = launch.train(net, prepared, recipe, out=tmp_path / name, devices=2, threads=1, device="cpu")
    assert one.history[-1]["clusters"] == two.history[-1]["clusters"]
    moved = 0.0
    for key, value in one.net.state_dict().items():
        away = float((value.double() - two.net.state_dict()[key].double()).abs().max())
        assert away < 1e-3, (key, away)
        moved = max(moved, float((value.double() - net.state_dict()[key].double()).abs().max()))
    assert moved > 0.01
