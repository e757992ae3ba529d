"""A run sparsified, saved, loaded, exported and evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nervure import export, nets, sparsify, store, train
from nervure.data import Dataset
from nervure.sparsify.runs import beside, sparsified_run
from nervure.store import Run
from nervure.train.evaluate import evaluate


def test_end_to_end(ds: Dataset, tmp_path: Path) -> None:
    run = train.fit(nets.build("lenet5", ds, seed=0), ds, train.Recipe(epochs=2, batch=32), device="cpu")
    mask = sparsify.plan(run.net, ds, "isparse", 0.3)
    done = sparsified_run(run, ds, mask, device="cpu", command="typed")
    assert (done.lineage[-1].name, done.lineage[-1].command) == ("sparsify", "typed")
    assert done.lineage[-1].settings["criterion"] == "isparse"
    assert done.metrics["sparsity"] == pytest.approx(0.3, abs=0.001)
    assert {"sparsity", "edges", "weights", "sparsified"} <= set(done.evidence)
    store.save(tmp_path / "thin", done)
    again = store.load(tmp_path / "thin")
    assert evaluate(again, ds, split="test", device="cpu").metrics["accuracy"] == done.metrics["accuracy"]
    x = ds.batch(range(3)).x
    baked = sparsify.bake(again.net)
    assert torch.equal(baked(x), again.net(x))
    store.save(tmp_path / "baked", Run.of(baked, ds))
    assert torch.equal(store.load(tmp_path / "baked").net(x), again.net(x))


# loads the exporters, and runs what they wrote
@pytest.mark.slow
@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_a_masked_network_is_exported(form: str, ds: Dataset, tmp_path: Path) -> None:
    if form == "onnx":
        pytest.importorskip("onnxscript")
    net = nets.build("mlp", ds, widths=(8,), seed=0)
    thin = sparsify.plan(net, None, "magnitude", 0.5).apply(net).eval()
    # Writing compares the file with the network, and keeps none that differs.
    path = tmp_path / f"thin.{form}"
    export.write(thin, path, form, samples=torch.from_numpy(ds.x[:4]), names=ds.names, task="classification")
    assert path.is_file()


def test_a_mask_is_held_against_masks_of_as_many_edges(ds: Dataset) -> None:
    net = nets.build("mlp", ds, widths=(20,), seed=0)
    mask = sparsify.Mask.for_net(net, {"classifier.0": torch.arange(1280).view(20, 64) % 10 > 0})
    assert [one.sparsity for one in beside(net, mask).values()] == pytest.approx([0.1, 0.1, 0.1])
