from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nervure.study import worker
from nervure.train import launch


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are made in this process, since starting one takes longer than making it."""

    def start(call: str, arguments: Mapping[str, object], **options: object) -> object:
        return worker.run({"trial": arguments["trial"], "job": arguments["job"]})

    monkeypatch.setattr(launch, "start", start)


COMPARED = ("--criteria", "magnitude,random", "--sparsity", "0.5,0.9", "--seeds", "1", "--device", "cpu", "-o", "out")


def test_tables_page_json_and_progress(call, here, base: Path, tmp_path: Path) -> None:
    said = call("compare", "sparsity", base, *COMPARED, "--no-seconds")
    assert said.code == 0, said.err
    assert "nan" not in said.err + said.out
    assert "2/2  random, seed 0: " in said.err
    assert "as magnitude" in said.out
    assert "Agreement of masks at 0.9" in (tmp_path / "out" / "compare.html").read_text()
    kept = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [(row["criterion"], row["sparsity"]) for row in kept["rows"]] == [
        ("magnitude", 0.5), ("random", 0.5), ("magnitude", 0.9), ("random", 0.9),
    ]  # fmt: skip
    assert {"accuracy", "bytes", "zeros, %"} <= set(kept["rows"][0])
    again = call("compare", "sparsity", base, *COMPARED, "--no-seconds", "--json")
    assert json.loads(again.out)["rows"] == kept["rows"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sparsity", "half"), "--sparsity 'half'"),
        (("--sparsity", "1.2"), "sparsity 1.2"),
        (("--criteria", "magnitude,snap"), "snap"),
        (("--criteria", "l1"), "trains the network"),
        (("--ranking", "all"), "--ranking 'all'"),
    ],
)
def test_faults_are_one_line(call, here, base: Path, options: tuple[str, str], words: str) -> None:
    said = call("compare", "sparsity", base, *COMPARED, *options)
    assert (said.code, said.err.count("\n")) == (2, 1), said.err
    assert words in said.err


def test_the_page_names_data_settings_and_machine(call, here, base: Path, tmp_path: Path) -> None:
    assert call("compare", "sparsity", base, *COMPARED, "--no-seconds").code == 0
    html = (tmp_path / "out" / "compare.html").read_text()
    assert "Settings" in html
    assert "digits" in html
    assert "samples" in html
    assert "random: seed" in html
    assert "threads, torch" in html
    assert "nervure" in html.rpartition("<footer")[2]


def test_a_network_of_a_function_of_ones_own_is_compared(call, here, tmp_path: Path) -> None:
    (tmp_path / "ownnetssparsity.py").write_text(
        "from nervure import nets\n\n\ndef small(in_shape, classes):\n"
        "    return nets.build('mlp', in_shape=in_shape, classes=classes, widths=[8])\n"
    )
    made = ("--net", "ownnetssparsity:small")
    assert call("train", "digits", *made, "--epochs", "1", "--device", "cpu", "-o", "own").code == 0
    assert "--net ownnetssparsity:small" in call("compare", "sparsity", "own", *COMPARED, "--no-seconds").err
    said = call("compare", "sparsity", "own", *made, *COMPARED, "--no-seconds")
    assert said.code == 0, said.err
