"""The benchmarks of clustering at their smallest: that they run, and what does not hang on the machine's speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def ran(name: str, out: Path, *arguments: str) -> dict[str, object]:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--threads", "1", "--out", str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


# A fresh process that imports everything takes some seconds on a busy machine.
@pytest.mark.slow
def test_a_phase_of_many_images_streams_them(tmp_path: Path) -> None:
    found = ran("cluster_large", tmp_path / "large.json", "--samples", "2000", "--folder", str(tmp_path))
    assert found["holds"]
    assert found["samples"] == 2000
    assert list(tmp_path.iterdir()) == [tmp_path / "large.json"]  # the images are gone


# As above.
@pytest.mark.slow
def test_the_lloyd_step_is_scikit_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import cluster_epoch
    import torch

    latents = torch.randn(3000, 10, generator=torch.Generator().manual_seed(0))
    assert cluster_epoch.lloyd_step(latents)["largest_difference"] <= 1e-5
