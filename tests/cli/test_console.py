"""What people and machines are shown."""

from __future__ import annotations

import io
import json
import math
import re
import sys

import pytest

from nervure.cli import console
from nervure.train import Progress

ROW = {"epoch": 1, "lr": 0.001, "train_accuracy": 0.75, "train_loss": 0.5, "validation_loss": 0.25, "seconds": 1.5}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps() -> list[Progress]:
    return [
        Progress(0, 2, 5, 10),
        Progress(0, 2, 10, 10),
        Progress(1, 2, 10, 10, ROW),
        Progress(1, 2, 10, 10),
        Progress(2, 2, 10, 10, {**ROW, "epoch": 2}),
    ]


class TestTrainingBar:
    def test_elsewhere_a_line_an_epoch(self, capsys: pytest.CaptureFixture[str]) -> None:
        with console.training_bar(False) as bar:
            for one in steps():
                bar(one)
        said = capsys.readouterr()
        line = "train loss 0.5, accuracy 0.75 | validation loss 0.25 | 1.5 s"
        assert said.err.splitlines() == [f"epoch 1/2  {line}", f"epoch 2/2  {line}"]
        assert said.out == ""

    def test_on_a_terminal_a_bar_with_rate_and_time_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Terminal()
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm")
        with console.training_bar(False) as bar:
            for one in steps():
                bar(one)
        shown = screen.getvalue()
        assert "epoch 2/2" in shown
        assert "100%" in shown
        assert "left" in shown
        assert shown.count("train loss 0.5, accuracy 0.75") == 2
        assert "…" not in shown

    def test_quiet(self, capsys: pytest.CaptureFixture[str]) -> None:
        with console.training_bar(True) as bar:
            for one in steps():
                bar(one)
        console.say("hush", quiet=True)
        assert capsys.readouterr() == ("", "")


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": math.nan, "b": [math.inf, 1.5, (2, "é")], 3: None})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "b": [None, 1.5, [2, "é"]], "3": None}
    assert "é" in out


def test_numbers() -> None:
    shown = {
        0: "0", 12: "12", 1234567: "1,234,567", 1234.0: "1,234", 3.0: "3", 0.5: "0.5", 1e-7: "1e-07",
        123456.7: "1.235e+05", math.inf: "inf", True: "True", None: "-", "a": "a",
    }  # fmt: skip
    assert {value: console.number(value) for value in shown} == shown


def test_tables_take_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(("class", "recall"), [("[red]", 0.5), ('b,"c"', None)], title="[bold]runs")
    out = capsys.readouterr().out
    assert "[red]" in out and "[bold]runs" in out and 'b,"c"' in out


def test_names_are_whole_and_columns_in_blocks_where_a_terminal_is_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    names = ["neural-mixture-em-alone", "neural-mixture-two-fold"]

    def printed() -> list[str]:
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    console.print_table(["", *"abcd"], [(name, *["62.68 ± 0.02"] * 4) for name in names])
    lines = printed()
    assert max(map(len, lines)) <= 60
    assert sum(names[0] in line for line in lines) == 2
    assert sum(line.count("62.68 ± 0.02") for line in lines) == 8
    console.print_table(["layer", "why"], [(name, "kept whole, because " * 5) for name in names])
    lines = printed()
    assert max(map(len, lines)) <= 60
    assert [sum(name in line for line in lines) for name in names] == [1, 1]


WHY = "kept whole, since it adds to a shortcut, which must keep as many units as what it is added to"
PLAN = (
    ("layer", "units before", "units after", "MACs before", "MACs after", "why"),
    [("features.0", 32, 16, 225792, 112896, WHY), ("network", 500, 250, 1415577600, 14450688, WHY)],
)
FILES = (
    ("file", "format", "bytes", "largest difference", "samples"),
    [(f"runs/of-many-words/base/exports/model.{one}", one, 249012, 1.2e-07, 64) for one in ("onnx", "safetensors")],
)


@pytest.mark.parametrize("width", [40, 60, 80, 140])
@pytest.mark.parametrize(("columns", "rows"), [PLAN, FILES])
def test_nothing_is_cut_off_where_a_terminal_is_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, columns: tuple, rows: list
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console.print_table(columns, rows)
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, said.splitlines())) <= width
    for name in (cell for row in rows for cell in row if not isinstance(cell, str) or len(cell) <= console.SHORT):
        assert console.number(name) in said
    for word in WHY.split() if columns is PLAN[0] else ():
        assert said.count(word) >= len(rows)
    for row in rows:
        squeezed = "".join(line.split("  ")[1].strip() for line in said.splitlines() if line.startswith("  "))
        assert row[0] in squeezed
