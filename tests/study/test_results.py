from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nervure import evidence, report
from nervure.errors import InputError
from nervure.study.grid import grid
from nervure.study.records import Record
from nervure.study.results import Results, figures
from nervure.study.table import parse

HERE = {"cpu": "a", "device": "cpu", "threads": 1}
THERE = {"cpu": "b", "device": "cuda", "threads": 1}


@pytest.fixture
def results(table: str) -> Results:
    """plain 0.50, 0.54; better 0.80 and a failure at seed 1; seed 2 missing."""
    trials = grid(parse(table, "mine", "mine.toml"), "cpu")
    records = (
        Record(trials[0], {"accuracy": 0.50}, {"total": 1.0}, HERE),
        Record(trials[1], {"accuracy": 0.80}, {"total": 2.0}, THERE),
        Record(trials[2], {"accuracy": 0.54}, {"total": 3.5}, HERE),
        Record(trials[3], error="no room"),
    )
    return Results(parse(table, "mine", "mine.toml"), "cpu", trials, records)


def test_published_beside_ours_by_hand(results: Results) -> None:
    plain, better = results.rows()
    assert (plain.arm, plain.n, plain.published, plain.difference) == ("plain", 2, None, None)
    assert plain.ours == pytest.approx(52.0)
    assert plain.sd == pytest.approx(math.sqrt(8))
    assert (better.n, better.sd, better.published, better.place) == (1, None, 80.0, "Person 1999, Table 1")
    assert better.difference == pytest.approx(0.0)
    assert (results.missing, len(results.failed)) == (2, 1)


def test_arms_are_paired_by_seed(results: Results) -> None:
    found = results.paired("better", "plain", "accuracy")
    assert (found.n, found.difference) == (1, pytest.approx(30.0))
    with pytest.raises(InputError, match="no arm 'best'"):
        results.paired("best", "plain", "accuracy")


def test_json_holds_every_trial_and_its_environment(results: Results) -> None:
    found = json.loads(json.dumps(results.to_json(), allow_nan=False))
    assert found["seconds"] == 6.5
    assert found["missing"] == 2
    assert [found["environments"][one["environment"]]["cpu"] for one in found["trials"][:3]] == [
        "a",
        "b",
        "a",
    ]
    assert found["trials"][3]["error"] == "no room"
    assert found["settings"] == {"plain": {"base": 0.5, "epochs": 9}, "better": {"base": 0.75, "epochs": 9}}
    assert found["table"][1]["published"] == 80.0


def test_two_printed_figures_of_one_arm_are_two_lines(table: str) -> None:
    more = table + '\n[[published]]\narm = "better"\nmeasure = "accuracy"\nvalue = 79.0\nwork = "B"\nplace = "C"\n'
    study = parse(more, "mine", "mine.toml")
    rows = Results(study, "smoke", grid(study, "smoke"), ()).rows()
    assert [(row.arm, row.published, row.ours, row.n) for row in rows] == [
        ("plain", None, None, 0),
        ("better", 80.0, None, 0),
        ("better", 79.0, None, 0),
    ]


def test_figures_keep_and_draw(results: Results, tmp_path: Path) -> None:
    table, bars, trials = figures(results)
    assert isinstance(bars, evidence.Bars)
    assert bars.values == pytest.approx(np.array([[52.0, 80.0], [np.nan, 80.0]]), nan_ok=True)
    assert bars.series == ("ours", "Person 1999, Table 1")
    assert isinstance(trials, evidence.Table)
    assert len(trials.rows) == 3
    for number, figure in enumerate((table, bars, trials)):
        evidence.save(tmp_path / f"{number}.npz", figure)
        assert evidence.load(tmp_path / f"{number}.npz").title == figure.title
    html = report.page("Study", [("Results", "", (table, bars, trials))])
    assert html.count("<svg") >= 1
    assert "Person 1999, Table 1" in html
