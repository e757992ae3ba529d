"""A run pruned by the command line, exported, measured again, and its file run by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nervure as nv
from command import here, run

# slow: the whole way, and a process that imports torch
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("commands")]


def test_ssim_kmeans_to_half_the_macs_then_exported_and_evaluated(tmp_path: Path) -> None:
    import onnxruntime

    base, small = tmp_path / "base", tmp_path / "small"
    here("train", "digits", "--net", "lenet5", "--epochs", 2, "-o", base)
    here("prune", base, "--criterion", "ssim-kmeans", "--macs", 0.5, "-o", small)
    here("export", small, "--onnx")
    whole = nv.store.load(base).metrics
    cut = json.loads(run(tmp_path, "evaluate", "small", "--json").stdout)["metrics"]  # a process that made none of it
    assert cut["macs"] <= 0.5 * whole["macs"]
    assert cut["parameters"] < whole["parameters"]
    assert cut["accuracy"] > 0.5
    (file,) = small.rglob("*.onnx")
    ds = nv.data.load("digits")
    at = ds.indices("test")
    session = onnxruntime.InferenceSession(str(file))
    outputs = session.run(None, {session.get_inputs()[0].name: ds.x[at].astype(np.float32)})
    assert float((outputs[0].argmax(1) == ds.y[at]).mean()) == pytest.approx(cut["accuracy"], abs=1e-6)
