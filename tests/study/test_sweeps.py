from __future__ import annotations

import pytest

from nervure.study import table
from nervure.study.sweeps import controls_of, plain, series, sweeps


def test_criteria_are_columns_in_a_study_of_one_arm() -> None:
    names = [f"{one} {where}" for one in ("random", "exceed 0.05") for where in ("layer 1", "layer 2", "cumulative")]
    [found] = sweeps(["base"], {"intact": "%", **dict.fromkeys(names, "%")})
    assert (found.name, found.columns) == ("layer", ("random", "exceed 0.05"))
    assert (found.labels, found.numbers) == (("1", "2", "cumulative"), ("1", "2"))
    assert found.cells["exceed 0.05", "cumulative"] == ("base", "exceed 0.05 cumulative")


def test_each_layer_has_a_sweep_of_kept_shares() -> None:
    names = [f"l1 {where} keep {keep}" for where in ("layer 1", "cumulative") for keep in (0.9, 0.5)]
    assert [one.name for one in sweeps(["base"], dict.fromkeys(names, "%"))] == ["layer 1 keep", "cumulative keep"]


def test_arms_are_columns_in_a_study_of_several() -> None:
    found = sweeps(["a", "b"], {"before layer 2": "%", "before layer 3": "%", "accuracy": "%"})
    assert [(one.name, one.columns) for one in found] == [("before layer", ("a", "b"))]
    assert [one.name for one in plain(["a"], {"h 4": "", "acc": ""})] == ["h 4", "acc"]


def test_layers_are_lines_where_a_study_says_so() -> None:
    names = [
        f"{one} layer {at} keep {keep}" for one in ("votes", "votes estimated") for at in (2, 3) for keep in (0.9, 0.5)
    ]
    found = sweeps(["base"], {"intact": "%", **dict.fromkeys(names, "%")}, by_layer=True)
    assert [one.name for one in found] == ["votes keep", "votes estimated keep"]
    assert found[1].cells["layer 3", "0.9"] == ("base", "votes estimated layer 3 keep 0.9")
    assert [one.name for one in plain(["base"], {"intact": "%", **dict.fromkeys(names, "%")}, by_layer=True)] == [
        "intact"
    ]
    [threshold] = sweeps(
        ["a"], dict.fromkeys([f"exceed {t} layer {at}" for t in (0.1, 0.2) for at in (1, 2)], "%"), True
    )
    assert (threshold.name, threshold.columns, threshold.numbers) == ("exceed", ("layer 1", "layer 2"), ("0.1", "0.2"))
    two = sweeps(["a", "b"], dict.fromkeys(names, "%"), by_layer=True)
    assert [one.name for one in two] == [
        f"{arm} {one} keep" for one in ("votes", "votes estimated") for arm in ("a", "b")
    ]
    assert two[1].cells["layer 2", "0.5"] == ("b", "votes layer 2 keep 0.5")


def test_a_series_ends_with_the_first_of_its_trials() -> None:
    made = {"a": [["h 1", "h 2", "h 3"], ["h 1", "h 2"], ["accuracy"]], "b": [["h 1"]], "c": [["accuracy"]]}
    [found] = series({"h": "%", "absent": ""}, made)
    assert found.labels == ("1", "2")
    assert set(found.cells) == {("a", "1"), ("a", "2"), ("b", "1")}


def test_controls_are_not_held_against_each_other() -> None:
    columns = ["tanh isparse", "tanh random", "tanh magnitude", "relu random"]
    assert controls_of("tanh isparse", columns, ["random", "magnitude"]) == ("tanh random", "tanh magnitude")
    assert controls_of("tanh random", columns, ["random", "magnitude"]) == ()


@pytest.mark.parametrize("name", [one for one in table.names() if one.startswith("sparsify-")])
def test_every_table_of_sparsifying_has_its_sweep_and_controls(name: str) -> None:
    study = table.load(name)
    assert study.sweeps
    assert study.axis == "share of edges removed"
    assert study.controls
