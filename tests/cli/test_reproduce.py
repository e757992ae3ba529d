from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from nervure.cli import reproduce
from nervure.errors import InputError, NervureError
from nervure.train import launch

APP = typer.Typer()
APP.command("reproduce")(reproduce.command)
RUNNER = CliRunner()


def call(*arguments: object) -> Result:
    return RUNNER.invoke(APP, [str(one) for one in arguments])


def refused(*arguments: object) -> str:
    found = call(*arguments)
    assert isinstance(found.exception, InputError), found.output
    return str(found.exception)


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No process is started: each trial gives 0.9 at once; seeds are kept."""
    seeds: list[int] = []

    def start(call: str, arguments: dict[str, dict[str, object]], **options: object) -> object:
        seeds.append(int(arguments["job"]["seed"]))  # type: ignore[call-overload]
        return {
            "metrics": {"accuracy": 0.9, "log_loss": 0.5},
            "durations": {"total": 1.0},
            "environment": {"device": "cpu", "cpu": "a", "threads": 1, "torch": "2"},
        }

    monkeypatch.setattr(launch, "start", start)
    return seeds


def test_list_names_what_there_is() -> None:
    found = json.loads(call("--list", "--json").stdout)
    by_name = {one["name"]: one for one in found}
    assert by_name["mnist-lenet5"]["published"] is True
    assert by_name["digits-lenet5"]["published"] is False
    assert set(by_name["mnist-lenet5"]["profiles"]) == {"smoke", "cpu", "gpu", "published"}
    assert "mnist-lenet5" in call("--list").stdout


def test_bad_input_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "name a study" in refused()
    assert "give -o" in refused("digits-lenet5")
    assert "did you mean 'digits-lenet5'" in refused("digits-lenet", "-o", "out")
    assert "unknown profile 'gpo'; did you mean 'gpu'" in refused("digits-lenet5", "--profile", "gpo", "-o", "out")
    assert "--data-dir" in refused("mnist-lenet5", "-o", "out")
    (tmp_path / "page.html").touch()
    assert "page.html exists" in refused("digits-lenet5", "-o", "out", "--page", "page.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


def test_the_table_has_published_beside_ours(tmp_path: Path, instead: list[int]) -> None:
    (tmp_path / "mnist.npz").touch()
    found = call("mnist-lenet5", "--profile", "cpu", "-o", tmp_path, "--data-dir", tmp_path, "--seeds", 2)
    assert found.exit_code == 0, found.output
    assert "90.00 ± 0.00 [98.79; 98.37]" in found.stdout
    assert "Table 4.1" in found.stderr
    assert "dissertation" in found.stderr
    assert str(tmp_path) not in (tmp_path / "mnist-lenet5.cpu.json").read_text()


def test_minutes_say_how_to_go_on(tmp_path: Path, instead: list[int]) -> None:
    found = call("digits-lenet5", "--profile", "smoke", "-o", tmp_path, "--minutes", "0.000001", "--json")
    assert instead == [0]
    assert json.loads(found.stdout)["missing"] == 1
    assert "1 of 2 trials are missing: give the same command to go on" in found.stderr
    assert call("digits-lenet5", "--profile", "smoke", "-o", tmp_path, "--quiet").stderr == ""
    assert instead == [0, 1]


def test_a_measure_that_no_trial_gives_is_warned_of(
    tmp_path: Path, instead: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    mine = """
    what = "two arms"
    unpublished = "made up"
    measures = { acuracy = "%" }
    data.source = "digits"
    arms = { one = {}, other = {} }
    profiles.smoke = { what = "one seed", seeds = 1 }
    """
    (tmp_path / "mine.toml").write_text(mine)
    asked = (tmp_path / "mine.toml", "--profile", "smoke", "-o", tmp_path / "out")
    found = call(*asked, "--arm", "one")
    assert "1 of 2 trials are missing: give the same command, or one without --arm" in found.stderr
    assert not caplog.messages
    assert call(*asked).exit_code == 0
    assert caplog.messages == [
        "no trial gave the measure 'acuracy'; did you mean 'accuracy'? There are: accuracy, log_loss"
    ]
    assert instead == [0, 0]


def test_differences_to_controls_are_printed_unless_they_are_many(
    tmp_path: Path, instead: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(
        'what = "two ways"\nmeasures = { accuracy = "%" }\ncontrols = ["slow"]\nunpublished = "Mine."\n'
        '[data]\nsource = "digits"\n[arms.fast]\n[arms.slow]\n[profiles.smoke]\nwhat = "all"\nseeds = 2\n'
    )
    asked = (tmp_path / "mine.toml", "--profile", "smoke", "-o", tmp_path)
    assert "differences to controls" in call(*asked).stdout
    monkeypatch.setattr(reproduce, "FEW", 0)
    found = call(*asked)
    assert "differences to controls" not in found.stdout
    assert "--page shows them" in found.stderr


def test_a_page_is_written(tmp_path: Path, instead: list[int]) -> None:
    page = tmp_path / "page.html"
    found = call("digits-lenet5", "--profile", "smoke", "-o", tmp_path, "--page", page)
    assert found.exit_code == 0, found.output
    html = page.read_text()
    assert "Study: digits-lenet5" in html
    assert "two epochs, two seeds" in html
    assert "recipe epochs" in html
    assert "on cpu (a, 1 thread, torch 2)" in html
    assert "Nothing to show" not in html


def test_a_page_that_cannot_be_written_is_refused_first(tmp_path: Path, instead: list[int]) -> None:
    found = call("digits-lenet5", "--profile", "smoke", "-o", tmp_path / "r", "--page", tmp_path)
    assert "is a folder" in str(found.exception)
    assert not (tmp_path / "r").exists()


def test_failures_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*arguments: object, **options: object) -> object:
        raise NervureError("no luck")

    monkeypatch.setattr(launch, "start", start)
    found = call("digits-lenet5", "--profile", "smoke", "-o", tmp_path)
    assert isinstance(found.exception, NervureError)
    assert found.exception.exit_code == 1
    assert "2 of 2 trials failed (base, seed 0, and 1 more: no luck)" in str(found.exception)
    assert "wrote" not in found.stderr


@pytest.mark.slow  # two processes that train
def test_digits_from_end_to_end_and_again(tmp_path: Path) -> None:
    arguments = (
        "digits-lenet5",
        "--profile",
        "smoke",
        "-o",
        tmp_path,
        "--jobs",
        2,
        "--threads",
        1,
        "--device",
        "cpu",
    )
    found = call(*arguments, "--json")
    assert found.exit_code == 0, found.output
    measured = json.loads(found.stdout)
    assert measured["missing"] == 0
    assert measured["table"][0]["n"] == 2
    assert 30 < measured["table"][0]["ours"] <= 100
    assert measured["environments"][0]["threads"] == 1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}
    again = json.loads(call(*arguments, "--json").stdout)
    assert again["trials"] == measured["trials"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()} == before


COMMAND = """
import sys
from nervure.cli import app, reproduce
if not any(one.name == "reproduce" for one in app.app.registered_commands):
    app.app.command("reproduce")(reproduce.command)
app.main(sys.argv[1:])
"""


@pytest.mark.slow  # the command and two processes that import torch
def test_ctrl_c_keeps_finished_trials(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(
        'what = "a study that takes long"\nunpublished = "never printed"\nmeasures = { accuracy = "%" }\n'
        '[data]\nsource = "digits"\n[settings]\nnet = "lenet-300-100"\n[arms.short.recipe]\nepochs = 1\n'
        '[arms.long.recipe]\nepochs = 100000\n[profiles.smoke]\nwhat = "small"\nseeds = 1\n'
    )
    out = tmp_path / "out"
    study = subprocess.Popen(
        [
            sys.executable,
            "-c",
            COMMAND,
            *["reproduce", "long.toml", "--profile", "smoke", "-o", "out", "--threads", "1"],
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    until = time.monotonic() + 90
    while not list(out.glob("trials/*.json")) and time.monotonic() < until and study.poll() is None:
        time.sleep(0.05)
    time.sleep(1)
    study.send_signal(signal.SIGINT)
    _, said = study.communicate(timeout=60)
    assert study.returncode == 130, said
    assert "1 of 2 trials are kept in out: give the same command to go on" in said
    assert "Traceback" not in said
    assert len(list(out.glob("trials/*.json"))) == 1
    assert json.loads((out / "long.smoke.json").read_text())["missing"] == 1
