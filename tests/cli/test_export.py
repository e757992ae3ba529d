from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nervure import store

pytestmark = pytest.mark.xdist_group("export")


@pytest.mark.usefixtures("uncompiled")
def test_what_is_asked_for_is_written(call, base: Path, tmp_path: Path) -> None:
    """The whole: files, their check, latency; nothing else on stdout, whatever the exporters say."""
    shutil.copytree(base, "r")
    said = call("export", "r", "--onnx", "--pt2", "--safetensors", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    written = {Path(one["file"]) for one in found["files"]}
    assert written == {Path("r/exports") / f"model.{one}" for one in ("onnx", "pt2", "safetensors")}
    for one in found["files"]:
        assert one["bytes"] == Path(one["file"]).stat().st_size
        assert one["largest_difference"] < 1e-4
        assert one["samples"] == 64
    assert [row["engine"] for row in found["latency"]] == ["eager", "onnxruntime"]
    assert [line.split(",")[0] for line in said.err.splitlines()] == [
        "writing onnx", "writing pt2", "writing safetensors", "measuring latency",
    ]  # fmt: skip
    assert "latency" in store.load("r").evidence
    assert "Latency" in (call("report", "r"), (tmp_path / "r" / "report.html").read_text())[1]


def test_the_file_runs_without_us_on_stored_values(call, base: Path, digits, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    assert call("export", base, "--onnx", "--no-latency", "-o", "out", "-q").err == ""
    x = digits[0][:5].astype(np.float32)[:, None]
    session = runtime.InferenceSession("out/model.onnx")
    outputs = dict(zip((one.name for one in session.get_outputs()), session.run(None, {"x": x}), strict=True))
    rows = call("predict", base, save(tmp_path / "x.npy", x.astype(np.uint8)), "--json").out
    for row, probabilities in zip(json.loads(rows), outputs["probabilities"], strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-5)


def save(path: Path, x: np.ndarray) -> Path:
    np.save(path, x)
    return path


def test_table_and_refusals(call, base: Path) -> None:
    said = call("export", base, "--safetensors", "--no-latency", "-o", "out")
    assert "largest difference" in said.out and "out/model.safetensors" in said.out
    said = call("export", base, "--safetensors", "--no-latency", "-o", "out")
    assert (said.code, said.err) == (
        2, "nervure: out/model.safetensors exists; choose another name, or give --overwrite\n",
    )  # fmt: skip
    assert call("export", base, "--safetensors", "--no-latency", "-o", "out", "--overwrite").code == 0
    said = call("export", base, "--safetensors", "--no-latency", "-o", base, "--overwrite")
    assert said.code == 2 and "is a run, whose own files these would replace" in said.err
    assert call("export", base).err == "nervure: say what to write: --onnx, --pt2 or --safetensors\n"
