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


COMPARED = (
    "--criteria",
    "l1,random",
    "--keep",
    "0.5",
    "--seeds",
    "1",
    "--samples",
    "50",
    "--device",
    "cpu",
    "-o",
    "out",
)


def test_table_page_and_progress(call, here, base: Path, tmp_path: Path) -> None:
    said = call("compare", "pruning", base, *COMPARED)
    assert said.code == 0, said.err
    assert "nan" not in said.err + said.out
    assert "2/2  random keep 0.5, seed 0: " in said.err
    assert "1/1  base, seed 0: done" in said.err
    assert "l1" in said.out
    assert "Criteria side by side" in (tmp_path / "out" / "compare.html").read_text()
    again = call("compare", "pruning", base, *COMPARED, "--json")
    # the worker's own line on stdout stands for a process that was started: none is
    found = json.loads(again.out)
    assert [row["criterion"] for row in found["rows"]] == ["l1", "random"]


def test_faults_are_one_line(call, here, base: Path) -> None:
    assert call("compare", "pruning", base, *COMPARED, "--keep", "half").err.count("\n") == 1
    said = call("compare", "pruning", base, *COMPARED, "--criteria", "l1,votes")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "votes" in said.err


def test_the_page_names_data_settings_and_machine(call, here, base: Path, tmp_path: Path) -> None:
    assert call("compare", "pruning", base, *COMPARED).code == 0
    html = (tmp_path / "out" / "compare.html").read_text()
    assert "Settings" in html
    assert "digits" in html
    assert "samples" in html
    assert "random: seed" in html
    assert "threads, torch" in html
    assert "nervure" in html.rpartition("<footer")[2]


def test_a_network_of_a_function_of_ones_own_is_compared(call, here, tmp_path: Path) -> None:
    (tmp_path / "ownnetspruning.py").write_text(
        "from nervure import nets\n\n\ndef small(in_shape, classes):\n"
        "    return nets.build('mlp', in_shape=in_shape, classes=classes, widths=[8])\n"
    )
    made = ("--net", "ownnetspruning:small")
    assert call("train", "digits", *made, "--epochs", "1", "--device", "cpu", "-o", "own").code == 0
    assert "--net ownnetspruning:small" in call("compare", "pruning", "own", *COMPARED).err
    said = call("compare", "pruning", "own", *made, *COMPARED)
    assert said.code == 0, said.err
