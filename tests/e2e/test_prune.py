"""A run pruned by the command line, exported, measured again, and its file run by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from command import run
from nervure import data

# slow: each test starts processes that import torch
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("commands")]


def test_ssim_kmeans_to_half_the_macs_then_exported_and_evaluated(tmp_path: Path) -> None:
    import onnxruntime

    run(tmp_path, "train", "digits", "--net", "lenet5", "--epochs", "2", "-o", "base", "--quiet")
    run(tmp_path, "prune", "base", "--criterion", "ssim-kmeans", "--macs", "0.5", "-o", "small", "--quiet")
    run(tmp_path, "export", "small", "--onnx", "--quiet")
    base, small = (
        json.loads(run(tmp_path, "evaluate", name, "--json").stdout)["metrics"] for name in ("base", "small")
    )
    assert small["macs"] <= 0.5 * base["macs"]
    assert small["parameters"] < base["parameters"]
    assert small["accuracy"] > 0.5
    (file,) = (tmp_path / "small").rglob("*.onnx")
    ds = data.load("digits")
    at = ds.indices("test")
    session = onnxruntime.InferenceSession(str(file))
    outputs = session.run(None, {session.get_inputs()[0].name: ds.x[at].astype(np.float32)})
    assert float((outputs[0].argmax(1) == ds.y[at]).mean()) == pytest.approx(small["accuracy"], abs=1e-6)
