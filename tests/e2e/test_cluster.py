"""Clustering as a user meets it: from a folder of images, or of series, to groups, a page and a file to deploy."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nervure as nv
from command import NERVURE, environment, here

# slow: trains, cuts, exports and draws, some of it in processes of its own
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 digits as an archive."""
    from sklearn.datasets import load_digits

    held = load_digits()
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x=held.images[:600].astype(np.uint8), y=held.target[:600])
    return path


@pytest.mark.xdist_group("clusters")
def test_digits_to_clusters_to_a_smaller_encoder_to_a_file(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    here("cluster", digits, "-k", 10, "--profile", "quick", "--epochs", 10, "-o", "groups", "--device", "cpu")
    capsys.readouterr()
    here("prune", "groups", "--macs", 0.5, "-o", "small", "--json", "--device", "cpu")
    said = json.loads(capsys.readouterr().out)
    measures = said["metrics"]["agreement"]
    assert measures["before"] == 1.0
    assert measures["recovered"] > max(0.8, measures["as cut"])
    assert said["macs"][1] <= 0.5 * said["macs"][0]
    whole, small = nv.cluster.load("groups"), nv.cluster.load("small")
    assert type(small) is type(whole)
    assert small.run_.metrics["agreement"] == measures["recovered"]
    assert "acc" in small.run_.metrics
    x = np.load(digits)["x"]
    assert (small.predict(x) == whole.predict(x)).mean() > 0.8
    here("export", "small", "--onnx", "--pt2", "--no-latency")
    session = onnxruntime.InferenceSession("small/exports/model.onnx")
    (soft,) = session.run(["probabilities"], {"x": x[:, None].astype(np.float32)})
    assert np.abs(soft - small.predict_proba(x)).max() < 1e-3
    assert nv.export.metadata("small/exports/model.pt2")["names"][9] == "cluster 9"
    here("report", "small")
    page = Path("small/report.html").read_text()
    assert "Agreement, uncut" in page and "What was cut, and why" in page


@pytest.mark.xdist_group("clusters")
def test_accuracy_drop_is_agreement_that_may_be_lost(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = ("-k", 5, "-m", "dcae-kmeans", "--profile", "quick", "--epochs", 4, "--no-figures", "--device", "cpu")
    here("cluster", digits, *made, "-o", "groups")
    capsys.readouterr()
    here("prune", "groups", "--accuracy-drop", 5, "--dry-run", "--json", "--device", "cpu")
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert trials[0]["accuracy"] == 1.0
    assert all(trial["fits"] == (trial["drop"] <= 5 + 1e-9) for trial in trials)


@pytest.mark.xdist_group("clusters")
def test_a_folder_of_pictures_to_a_page_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(45):
        pixels = rng.normal(60, 10, (18, 20, 3))
        pixels[..., number % 3] += 120
        Path("photos").mkdir(exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"photos/{number:02}.png")
    here("cluster", "photos", "-k", 3, "--data-option", "size=16", "--epochs", 10, "-o", "groups", "--device", "cpu")
    here("report", "groups")
    page = Path("groups/report.html").read_text()
    for title in ("Latent space, by cluster", "Cluster centres, decoded", "The nearest members", "Silhouette of each"):
        assert title in page
    assert "by label" not in page
    here("export", "groups", "--onnx", "--no-latency")
    here("cluster", "groups", "--predict", "photos", "-o", "labels.csv")
    rows = list(csv.DictReader(Path("labels.csv").read_text().splitlines()))
    assert len(rows) == 45 and rows[0]["sample"] == "photos/00.png"
    assert {row["cluster"] for row in rows} <= {"0", "1", "2"}


@pytest.mark.xdist_group("clusters")
def test_series_of_unequal_lengths_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["@problemName a", "@timeStamps false", "@missing false", "@univariate true", "@equalLength false"]
    lines += ["@classLabel true a b", "@data"]
    for number in range(50):
        steps = np.arange(rng.integers(14, 24))
        values = np.sin(steps * (0.3, 1.1)[number % 2] + rng.uniform(0, 1))
        lines.append(",".join(f"{one:.4f}" for one in values) + ":" + "ab"[number % 2])
    Path("waves_TRAIN.ts").write_text("\n".join(lines) + "\n")
    here("cluster", "waves_TRAIN.ts", "-k", 2, "--profile", "quick", "--epochs", 5, "-o", "groups", "--device", "cpu")
    found = nv.store.load("groups")
    assert "series-0-0" in found.evidence
    here("export", "groups", "--onnx", "--no-latency")
    ds = nv.data.load(found.source, **found.options)
    session = onnxruntime.InferenceSession("groups/exports/model.onnx")
    (soft,) = session.run(["probabilities"], {"x": np.asarray(ds.x, np.float32), "mask": ds.mask})
    assert np.abs(soft - nv.cluster.load("groups").predict_proba(ds)).max() < 1e-3


@pytest.mark.xdist_group("clusters")
def test_interrupted_and_resumed_gives_the_same_bytes(digits: Path, tmp_path: Path) -> None:
    how = ["cluster", str(digits), "-k", "4", "--profile", "quick", "--epochs", "12", "--no-figures", "--device", "cpu"]
    here(*how, "-o", tmp_path / "whole")
    process = subprocess.Popen(
        [str(NERVURE), *how, "-o", "cut"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    until = time.monotonic() + 90
    while not (tmp_path / "cut" / "checkpoint" / "state.safetensors").is_file() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1].endswith("cut: go on with --resume")
    here(*how, "-o", tmp_path / "cut", "--resume")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert one == other


@pytest.mark.xdist_group("processes")
@pytest.mark.usefixtures("together")
def test_two_processes_find_what_one_finds(digits: Path, tmp_path: Path) -> None:
    how = ("cluster", digits, "-k", 4, "-m", "dcae-kmeans", "--profile", "quick", "--epochs", 3, "--no-figures",
           "--device", "cpu", "--threads", 1)  # fmt: skip
    here(*how, "-o", tmp_path / "one")
    here(*how, "-o", tmp_path / "two", "--devices", 2)
    one, two = nv.store.load(tmp_path / "one"), nv.store.load(tmp_path / "two")
    for mine, theirs in zip(one.net.state_dict().values(), two.net.state_dict().values(), strict=True):
        assert torch.allclose(mine.double(), theirs.double(), atol=2e-4)
    assert [action.name for action in two.lineage] == ["cluster", "train"]
