from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from nervure import store
from nervure.train import Recipe

shape = importlib.import_module("nervure.study.shape")

pytestmark = pytest.mark.xdist_group("export")

QUICK = ("--net", "mlp", "--epochs", 1, "--macs", 1)


@pytest.mark.usefixtures("uncompiled")
def test_the_whole_way(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call("shape", "digits", *QUICK, "-o", "r", "--set", "batch=32")
    assert said.code == 0, said.err
    page = tmp_path / "r" / "report.html"
    assert said.out.splitlines()[-1] == f"open {page}"
    lines = [line.split()[0] for line in said.err.splitlines()]
    assert lines == ["digits:", "epoch", "writing", "writing", "measuring"]  # nothing is cut
    assert sorted(path.name for path in (tmp_path / "r" / "exports").iterdir()) == ["model.onnx", "model.pt2"]
    assert "Latency" in page.read_text()
    run = store.load("r")
    assert (
        Recipe.of(run.lineage[0].settings).difference(Recipe(epochs=1, batch=32, schedule="cosine", monitor="accuracy"))
        == []
    )
    assert run.lineage[0].command.startswith("nervure shape digits --net mlp")

    assert call("shape", "digits", *QUICK, "-o", "r").err.startswith("nervure: r holds a run; give --resume")
    monkeypatch.setattr(shape, "deploy", lambda *arguments, **options: None)  # has been seen
    again = call("shape", "digits", *QUICK, "-o", "r", "--set", "batch=32", "--resume", "--json", "-q")
    assert again.code == 0
    assert again.err == ""
    assert json.loads(again.out)["metrics"]["accuracy"] == run.metrics["accuracy"]
    other = call("shape", "digits", *QUICK, "-o", "r", "--set", "batch=32", "--resume", "--net", "lenet5")
    assert (other.code, other.out) == (2, "")
    assert other.err == "nervure: r was started with another network: mlp, not lenet5\n"


def test_what_is_missing_is_said_before_training(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, *rest: object) -> object:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(importlib, "import_module", without)
    said = call("shape", "digits", *QUICK, "-o", "r")
    assert (said.code, said.out) == (2, "")
    assert (
        said.err
        == "nervure: writing ONNX needs onnxruntime, which is not installed; run: pip install 'nervure[export]'\n"
    )
    assert list(tmp_path.iterdir()) == []
