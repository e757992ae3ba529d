"""The command line as a user meets it: real processes, a terminal, Ctrl-C, and each command after the other."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from command import NERVURE, environment, run
from nervure.cli.app import _run

# slow: each test starts processes that import torch
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("commands")]


def on_cpu() -> float:
    """Seconds that ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class TestStart:
    def test_help_is_quick_and_light(self, tmp_path: Path) -> None:
        """The best of several fresh processes; on a machine that others keep busy, their time on the CPU."""
        busy = os.getloadavg()[0] > (os.cpu_count() or 1)
        best = float("inf")
        for _ in range(8):
            started, used = time.perf_counter(), on_cpu()
            shown = run(tmp_path, "--help").stdout
            best = min(best, on_cpu() - used if busy else time.perf_counter() - started)
            if best < 0.5:
                break
        assert "train" in shown
        assert best < 0.5
        code = "import sys; from nervure.cli.app import _run; _run(['--help']); print(*sys.modules, sep='\\n')"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        heavy = {"torch", "sklearn", "numpy", "scipy", "lightning_fabric", "matplotlib", "plotly", "PIL", "click"}
        assert heavy.isdisjoint(loaded)
        assert "nervure.cli.train" in loaded

    def test_as_a_module(self, tmp_path: Path) -> None:
        shown = subprocess.run([sys.executable, "-m", "nervure", "--help"], capture_output=True, text=True, check=True)
        assert "Spend a network's capacity where its data needs it." in shown.stdout

    def test_completion(self, tmp_path: Path) -> None:
        # the shell is named, because the one that typer would find depends on what started the tests
        named = {**environment(), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        shown = subprocess.run(
            [str(NERVURE), "--show-completion", "bash"], cwd=tmp_path, env=named, capture_output=True, text=True
        )
        assert "_NERVURE_COMPLETE" in shown.stdout

        def complete(words: str) -> list[str]:
            more = {
                "_NERVURE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
            }
            done = subprocess.run([str(NERVURE)], env={**environment(), **more}, capture_output=True, text=True)
            return done.stdout.split()

        assert complete("nervure tra") == ["train"]
        assert complete("nervure train dig") == ["digits"]
        assert complete("nervure train digits --net lenet") == ["lenet-300-100", "lenet-5", "lenet5"]
        assert complete("nervure train digits --optimizer ad") == ["adam", "adamw"]
        assert "--epochs" in complete("nervure train digits --ep")

    def test_a_reader_that_leaves(self, tmp_path: Path) -> None:
        done = subprocess.run(
            f"'{NERVURE}' train --help | true; '{NERVURE}' --help | head -2",
            shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert "Usage: nervure" in done.stdout
        assert done.stderr == ""


def test_from_pictures_to_files_that_run_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user with a folder of pictures: train, predict, export (the last as a process, for exporters talk)."""
    monkeypatch.chdir(tmp_path)
    from sklearn.datasets import load_digits

    held = load_digits()
    for number in range(240):
        folder = tmp_path / "photos" / f"digit {held.target[number]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((held.images[number] * 15.9).astype("uint8")).save(folder / f"{number}.png")
    assert _run(["train", "photos", "--net", "mlp", "--epochs", "15", "--lr", "0.003", "-o", "runs/base"]) == 0
    said = capsys.readouterr()
    assert len(re.findall(r"^epoch \d+/15  train loss", said.err, re.MULTILINE)) == 15
    assert "accuracy" in said.out
    assert "epoch" not in said.out
    assert _run(["predict", "runs/base", "photos/digit 4", "photos/digit 7/7.png", "-o", "labels.csv"]) == 0
    assert capsys.readouterr().out == ""
    rows = list(csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text())))
    assert sum(row["label"] == row["sample"].split("/")[1] for row in rows) > 0.7 * len(rows)
    done = run(tmp_path, "export", "runs/base", "--onnx", "--no-latency", "--json")
    # whatever the exporter says, it is not on the streams
    assert [one["format"] for one in json.loads(done.stdout)["files"]] == ["onnx"]
    assert [line.split(",")[0] for line in done.stderr.splitlines()] == ["writing onnx"]


def test_a_network_of_ones_own_beside_the_installed_command(tmp_path: Path) -> None:
    """The script's own folder comes first on the path, not the current one; a user's function is found all the same."""
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def net(in_shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    (tmp_path / "json.py").write_text("raise RuntimeError('a file of the user stands before the library')\n")
    how = ("train", "digits", "--net", "mine:net", "--epochs", "1", "-q")
    run(tmp_path, *how, "-o", "r")
    assert json.loads((tmp_path / "r" / "run.json").read_text())["origin"]["base"]["spec"] == "mine:net"


def interrupted(folder: Path, command: list[str], out: Path) -> str:
    """Start a command, send Ctrl-C when its first checkpoint is there, and give what it said."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 90
    while not (out / "checkpoint" / "state.safetensors").is_file() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said[0] == ""
    return said[1]


def test_interrupted_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    how = ["train", "digits", "--net", "lenet5", "--epochs", "8", "--schedule", "cosine", "--seed", "2",
           "--augment", "shift=0.1", "--callback", "weight-average"]  # fmt: skip
    assert _run([*how, "-q", "-o", str(tmp_path / "whole")]) == 0
    said = interrupted(tmp_path, [str(NERVURE), *how, "-o", "cut"], tmp_path / "cut")
    assert said.splitlines()[-1].startswith("nervure: stopped in epoch ")
    assert said.splitlines()[-1].endswith("cut: go on with --resume")
    assert not (tmp_path / "cut" / "run.json").exists()
    assert _run([*how, "-q", "-o", str(tmp_path / "cut")]) == 2  # neither --resume nor --overwrite
    assert _run([*how, "--seed", "3", "-q", "-o", str(tmp_path / "cut"), "--resume"]) == 2
    assert _run([*how, "-q", "-o", str(tmp_path / "cut"), "--resume"]) == 0
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()

    def history(name: str) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert history("cut") == history("whole")
    assert not (tmp_path / "cut" / "checkpoint").exists()


def test_on_a_terminal_a_bar(tmp_path: Path) -> None:
    """A bar with rate and time left while it trains; nothing of it on stdout."""
    shown, ours = pty.openpty()
    process = subprocess.Popen(
        [str(NERVURE), "train", "digits", "--net", "lenet5", "--epochs", "4", "-o", "r"],
        cwd=tmp_path, env={**environment(), "TERM": "xterm-256color"}, stdout=subprocess.PIPE, stderr=ours, text=True,
    )  # fmt: skip
    os.close(ours)
    seen = b""
    while True:
        try:
            piece = os.read(shown, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    out = process.communicate(timeout=60)[0]
    os.close(shown)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert process.returncode == 0, text
    assert re.search(r"epoch [34]/4 [━╸╺ ]+ +\d+% \d+ steps/s \d\d:\d\d left", text), text[-800:]
    assert len(re.findall(r"epoch \d/4  train loss", text)) == 4
    assert "accuracy" in out
    assert "epoch" not in out
