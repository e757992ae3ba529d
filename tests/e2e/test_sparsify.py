"""A run sparsified by the command line, compacted, exported, measured again; and bad input, one clear line each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from command import here, run
from nervure import data, nets, sparsify, store, train
from nervure.cli.app import _run
from nervure.store import Run
from nervure.train import Recipe

# slow: the whole way, and a process that imports torch
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("commands")]

MINE = """
import torch
from torch import nn

class Folded(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, classes)

    def forward(self, x):
        return self.last(torch.fft.fft(self.first(x.flatten(1))).real)

def folded(in_shape, classes):
    return Folded(classes)

def scaled(in_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.AdaptiveAvgPool1d(classes))
"""


def test_sparsified_compacted_exported_and_evaluated(tmp_path: Path) -> None:
    import onnxruntime

    base, small = tmp_path / "base", tmp_path / "small"
    here("train", "digits", "--net", "lenet5", "--epochs", 6, "--batch", 32, "-o", base)
    trained = ("--sparsity", 0.8, "--train", "--epochs", 6, "--batch", 32, "--compact")
    here("sparsify", base, *trained, "-o", small)
    here("export", small, "--onnx", "--no-latency")
    here("report", small)
    whole = store.load(base).metrics
    cut = json.loads(run(tmp_path, "evaluate", "small", "--json").stdout)["metrics"]  # a process that made none of it
    assert cut["accuracy"] > whole["accuracy"] - 0.1
    assert cut["parameters"] <= whole["parameters"]
    sizes = [(place / "model.safetensors").stat().st_size for place in (base, small)]
    assert sizes[1] < 0.3 * sizes[0]
    held = store.load(small)
    assert sparsify.Mask.of(held.net).sparsity > 0.75
    assert "Which edges stay" in (small / "report.html").read_text()
    (file,) = small.rglob("*.onnx")
    ds = data.load("digits")
    at = ds.indices("test")
    session = onnxruntime.InferenceSession(str(file))
    outputs = session.run(None, {session.get_inputs()[0].name: ds.x[at].astype(np.float32)})
    assert float((outputs[0].argmax(1) == ds.y[at]).mean()) == pytest.approx(cut["accuracy"], abs=1e-6)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "base"
    ds = data.load("digits")
    train.fit(nets.build("mlp", ds, widths=[8]), ds, Recipe(epochs=1), out=out, device="cpu")
    return out


class TestBadInput:
    @pytest.fixture
    def refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        """Give a command that must be refused; the one line that it says."""
        monkeypatch.chdir(tmp_path)

        def call(*arguments: object) -> str:
            before = sorted(tmp_path.rglob("*"))
            capsys.readouterr()
            code = _run(["sparsify", *(str(one) for one in arguments)])
            said = capsys.readouterr()
            assert (code, said.out, said.err.count("\n")) == (2, "", 1), said.err
            assert said.err.startswith("nervure: ")
            assert "Traceback" not in said.err
            assert sorted(tmp_path.rglob("*")) == before
            return said.err

        return call

    def own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> Path:
        """A run of a network of one's own; its file's name is this test's, as imports are kept."""
        module = f"mine_{function}"
        (tmp_path / f"{module}.py").write_text(MINE)
        monkeypatch.syspath_prepend(str(tmp_path))
        ds = data.load("digits")
        store.save(tmp_path / "own", Run.of(nets.build(f"{module}:{function}", ds), ds))
        return tmp_path / "own"

    def test_rates_and_emptied_layers(self, refused, base: Path) -> None:
        assert "from 0 to 1" in refused(base, "--sparsity", "-0.1", "-o", "t")
        said = refused(base, "--sparsity", "classifier.2=1", "-o", "t")
        assert "'classifier.2' would lose all of its 80 edges" in said
        assert "--allow-empty" in said

    def test_nothing_to_remove(self, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = self.own(tmp_path, monkeypatch, "scaled")
        assert "no linear layer or convolution" in refused(own, "--net", "mine_scaled:scaled", "-o", "t")

    def test_an_operation_without_a_rule(self, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = self.own(tmp_path, monkeypatch, "folded")
        said = refused(own, "--net", "mine_folded:folded", "-o", "t")
        assert "fft" in said
        assert "rule" in said

    def test_weights_that_are_nan(self, refused, base: Path, tmp_path: Path) -> None:
        held = store.load(base)
        with torch.no_grad():
            held.net.classifier[2].weight[0, 0] = float("nan")
        store.save(tmp_path / "nan", held)
        assert "'classifier.2' has weights that are NaN" in refused(tmp_path / "nan", "-o", "t")

    def test_a_mask_or_data_of_another_network(self, refused, base: Path, tmp_path: Path) -> None:
        other = nets.build("mlp", in_shape=(1, 8, 8), classes=10, widths=[9])
        sparsify.plan(other, None, "magnitude", 0.5).save(tmp_path / "mask.json")
        assert "this mask is for another network" in refused(base, "--mask", "mask.json", "-o", "t")
        (tmp_path / "broken.json").write_text("{}")
        assert "not a mask that Nervure wrote" in refused(base, "--mask", "broken.json", "-o", "t")
        np.savez(tmp_path / "wide.npz", x=np.zeros((20, 1, 9, 9), np.float32), y=np.arange(20) % 10)
        assert "(1, 9, 9)" in refused(base, "--data", "wide.npz", "-o", "t")

    def test_places(self, refused, base: Path, tmp_path: Path) -> None:
        assert "is the run itself" in refused(base, "-o", base)
        (tmp_path / "mask.json").write_text("{}")
        assert "exists" in refused(base, "-o", "t", "--save-mask", "mask")
