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
from nervure.study.results import Results
from nervure.study.shown import figures, settings_of, shown
from nervure.study.table import load, parse

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
    with pytest.raises(InputError, match="three or more"):
        results.unpaired("better", "plain", "accuracy")


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
    more = table + '\n[[published]]\nwork = "B"\nplace = "C"\nvalues.better = { accuracy = 79.0 }\n'
    study = parse(more, "mine", "mine.toml")
    rows = Results(study, "smoke", grid(study, "smoke"), ()).rows()
    assert [(row.arm, row.published, row.ours, row.n) for row in rows] == [
        ("plain", None, None, 0),
        ("better", 80.0, None, 0),
        ("better", 79.0, None, 0),
    ]


def test_figures_keep_and_draw(results: Results, tmp_path: Path) -> None:
    table, bars, settings, trials = figures(results)
    assert isinstance(bars, evidence.Bars)
    assert bars.values == pytest.approx(np.array([[52.0, 80.0], [np.nan, 80.0]]), nan_ok=True)
    assert bars.series == ("ours", "published")
    assert isinstance(trials, evidence.Table)
    assert len(trials.rows) == 3
    for number, figure in enumerate((table, bars, settings, trials)):
        evidence.save(tmp_path / f"{number}.npz", figure)
        assert evidence.load(tmp_path / f"{number}.npz").title == figure.title
    html = report.page("Study", [("Results", "", (table, bars, trials))])
    assert html.count("<svg") >= 1
    assert "80.00 [80.00]" in html


SWEEP = """
what = "edges that go"
measures = { accuracy = "%", "accuracy 0.1" = "%", "accuracy 0.5" = "%", "accuracy 0.9" = "%", seconds = "" }
controls = ["random"]
axis = "share of edges removed"

[data]
source = "digits"

[settings.recipe]
epochs = 9

[arms.base]
method = "none"

[arms.random]

[arms.isparse]

[profiles.cpu]
what = "small"
seeds = 2
settings = { recipe = { batch = 16 } }

[[published]]
work = "A"
place = "Table 1"
values.base = { accuracy = 90.0 }
values.isparse = { "accuracy {0.5,0.9}" = [80.0, 30.0] }
"""


@pytest.fixture
def swept() -> Results:
    """Two seeds of three arms, at rates 0.1 and 0.5; the rate 0.9 was not asked for."""
    study = parse(SWEEP, "mine", "mine.toml")
    found = {
        "base": [{"accuracy": 0.90}, {"accuracy": 0.92}],
        "random": [{"accuracy 0.1": 0.80, "accuracy 0.5": 0.40}, {"accuracy 0.1": 0.82, "accuracy 0.5": 0.44}],
        "isparse": [{"accuracy 0.1": 0.88, "accuracy 0.5": 0.70}, {"accuracy 0.1": 0.90, "accuracy 0.5": 0.80}],
    }
    trials = grid(study, "cpu")
    records = tuple(Record(one, found[one.arm][one.seed], {"total": 1.0}, HERE) for one in trials)
    return Results(study, "cpu", trials, records)


def test_a_sweep_is_a_table_of_rates_by_arms_and_a_curve(swept: Results) -> None:
    found = shown(swept)
    [pivot] = found.tables
    assert pivot.columns == ("share of edges removed", "base", "random", "isparse")
    assert pivot.rows == (
        ("none", "91.00 ± 1.41 [90.00]", "", ""),
        ("0.1", "", "81.00 ± 1.41", "89.00 ± 1.41"),
        ("0.5", "", "42.00 ± 2.83", "75.00 ± 7.07 [80.00]"),
    )
    assert found.unmeasured == sum(row.n == 0 for row in swept.rows()) > 0
    [curve] = found.drawings
    assert isinstance(curve, evidence.Curve)
    assert curve.x.tolist() == [0.1, 0.5]
    assert curve.labels == ("base", "random", "isparse")
    assert curve.y == pytest.approx(np.array([[91.0, 91.0], [81.0, 42.0], [89.0, 75.0]]))
    assert curve.spread is not None
    assert curve.spread[2, 1] == pytest.approx(math.sqrt(50))


def test_notes_stand_under_the_tables_and_are_kept() -> None:
    study = parse(SWEEP.replace("[data]", '[notes]\nrandom = "drawn anew each epoch"\n\n[data]'), "mine", "mine.toml")
    results = Results(study, "cpu", grid(study, "cpu"), ())
    assert shown(results).tables[-1].rows == (("random", "drawn anew each epoch"),)
    assert results.to_json()["notes"] == {"random": "drawn anew each epoch"}


def test_controls_are_paired_at_each_rate(swept: Results) -> None:
    found = {(one.measure, one.column): one for one in swept.tests()}
    assert set(found) == {("accuracy 0.1", "isparse"), ("accuracy 0.5", "isparse")}
    assert found["accuracy 0.5", "isparse"].difference == pytest.approx(33.0)
    assert found["accuracy 0.1", "isparse"].p_t is None  # both seeds differ by 8 points
    [table] = shown(swept).tests
    assert len(table.rows) == 2
    assert json.loads(json.dumps(swept.to_json(), allow_nan=False))["tests"][1]["control"] == "random"
    with pytest.raises(InputError, match="have no seed of seconds in common"):
        swept.paired("isparse", "random", "seconds")


def test_settings_name_data_seeds_and_recipe_defaults(swept: Results) -> None:
    found = settings_of(swept)
    assert (found["data"], found["seeds"], found["recipe epochs"], found["recipe batch"]) == ("digits", "2", "9", "16")
    assert found["recipe optimizer"] == "adam"
    assert found["base: method"] == "none"


def test_before_anything_is_measured_what_was_published_is_shown() -> None:
    study = parse(SWEEP, "mine", "mine.toml")
    found = shown(Results(study, "cpu", grid(study, "cpu"), ()))
    assert [row[0] for row in found.tables[-1].rows] == ["none", "0.5", "0.9"]
    assert found.tables[-1].rows[0][1] == "[90.00]"
    assert (found.drawings, found.tests, found.trials, found.unmeasured) == ((), (), (), 0)


def test_a_control_must_be_there() -> None:
    with pytest.raises(InputError, match="controls.0: unknown 'randon'; did you mean 'random'"):
        parse(SWEEP.replace('controls = ["random"]', 'controls = ["randon"]'), "mine", "mine.toml")


@pytest.mark.parametrize(("name", "told"), [("mnist-lenet5", True), ("prune-iterative-mnist", False)])
def test_defaults_of_a_recipe_are_told_where_they_are_those_of_the_trial(name: str, told: bool) -> None:
    study = load(name)
    found = settings_of(Results(study, "cpu", grid(study, "cpu"), ()))
    assert ("recipe optimizer" in found) == told
    assert "recipe epochs" in found
