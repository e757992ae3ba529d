"""The examples run, with few epochs, in a folder of their own; and the outside package does what its README says."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PROGRAMS = sorted(file.name for file in EXAMPLES.glob("*.py"))
# Example, arguments, and what its last lines must say.
CASES = {
    "look_inside.py": (["--epochs", "2"], ["whole: accuracy", "spread: 8 of 16 units left", "chance: 8 of 16"]),
    "own_network.py": (["--epochs", "1"], ["function: 0.", "module: 0."]),
    "series.py": (["--epochs", "2", "--samples", "120"], ["filled with 1000: 0.0e+00", "short series: "]),
    "similar_filters.py": ([], ["Begin: each centroid is the mean", "open similar_filters.html"]),
    "train_and_deploy.py": (["--epochs", "3"], ["accuracy of runs/example.onnx: 0.", "open runs/example/report.html"]),
}


def test_every_example_has_a_case() -> None:
    assert list(CASES) == PROGRAMS


# slow: the export alone takes several seconds
@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, said = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    sys.modules.pop(name.removesuffix(".py"), None)
    out = capsys.readouterr().out
    for one in said:
        assert one in out


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_is_read_at_one_sitting(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) < 60
    assert f"python examples/{name}" in text


# slow: installs a package, and two fresh processes import torch
@pytest.mark.slow
def test_outside_package(tmp_path: Path) -> None:
    site = tmp_path / "site"
    source = tmp_path / "source"
    source.mkdir()
    for file in (EXAMPLES / "outside_package").iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    readme = (EXAMPLES / "outside_package" / "README.md").read_text()
    commands = [line.split() for line in readme.splitlines() if line.startswith("nervure ")]
    assert [words[1] for words in commands] == ["train", "report"]
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-m", *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert "Size of the weights: " in (tmp_path / "runs" / "outside" / "report.html").read_text()
