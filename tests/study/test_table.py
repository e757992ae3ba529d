from __future__ import annotations

from pathlib import Path

import pytest

from nervure import data, nets
from nervure.errors import InputError
from nervure.study import table
from nervure.study.settings import TrainSettings
from nervure.study.trials import trials
from nervure.study.where import GET
from nervure.train import Recipe

TRAINED = tuple(name for name in table.names() if table.load(name).trial == "train")


@pytest.mark.parametrize("name", table.names())
def test_every_table_is_whole(name: str) -> None:
    study = table.load(name)
    assert {"smoke", "cpu", "gpu"} <= set(study.profiles)
    assert study.trial in trials
    assert study.data.source in data.sources or study.data.source in GET


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_network_can_be_built(name: str) -> None:
    study = table.load(name)
    for arm in study.arms:
        for profile in study.profiles:
            settings = TrainSettings.read(study.trial_settings(arm, profile))
            assert Recipe(**settings.recipe).epochs >= 1  # type: ignore[arg-type]
            net = nets.build(settings.net, in_shape=(1, 28, 28), classes=10, **settings.net_options)  # type: ignore[arg-type]
            assert net is not None


def test_published_figures_are_those_printed() -> None:
    printed = {(name, one.place.split(", ", 1)[1]): one.value for name in TRAINED for one in table.load(name).figures}
    assert printed == {
        ("mnist-lenet5", "chapter 4, Table 4.1"): 98.79,
        ("mnist-lenet5", "chapter 5, Table 5.4"): 98.37,
        ("fashion-mnist-lenet5", "chapter 4, Table 4.1"): 88.02,
        ("fashion-mnist-lenet5", "chapter 5, Table 5.4"): 89.43,
        ("mnist-fc-1000", "chapter 5, Table 5.4"): 98.78,
    }


def test_the_dense_network_is_the_one_printed() -> None:
    settings = TrainSettings.read(table.load("mnist-fc-1000").trial_settings("base", "published"))
    net = nets.build(settings.net, in_shape=(1, 28, 28), classes=10, **settings.net_options)  # type: ignore[arg-type]
    weights = sum(one.numel() for name, one in net.named_parameters() if name.endswith("weight"))
    assert weights == 2_794_000  # spec majority-voting-pruning, 4 (7)
    assert settings.recipe["epochs"] == 100


def test_settings_are_laid_over_each_other(table: str) -> None:
    from nervure.study.table import parse

    study = parse(table, "mine", "mine.toml")
    assert study.trial_settings("plain", "smoke") == {"base": 0.5}
    assert study.trial_settings("better", "cpu") == {"base": 0.75, "epochs": 9}


METHODS = """
[methods.em]
options = { copies = 4, base = 1 }

[profiles.cpu.methods.em]
options = { base = 3 }
"""


def test_settings_of_a_method_go_to_its_arms_alone(table: str) -> None:
    from nervure.study.table import parse

    text = table.replace("[arms.plain]", '[arms.plain]\nmethod = "em"\noptions = { copies = 5 }', 1) + METHODS
    study = parse(text, "mine", "mine.toml")
    assert study.trial_settings("plain", "smoke")["options"] == {"copies": 5, "base": 1}
    assert study.trial_settings("plain", "cpu")["options"] == {"copies": 5, "base": 3}
    assert "options" not in study.trial_settings("better", "cpu")
    with pytest.raises(InputError, match=r"^mine\.toml: profiles\.cpu\.methods: no arm has the method 'em2'"):
        parse(text.replace("cpu.methods.em", "cpu.methods.em2"), "mine", "mine.toml")
    with pytest.raises(InputError, match=r"^mine\.toml: methods: no arm has the method 'em'; give arms a setting"):
        parse(table + METHODS, "mine", "mine.toml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("what = ", "what ", r"not TOML"),
        ("seeds = 3", "seeds = 0", r"seeds: .*greater than or equal to 1"),
        ("seeds = 3", "sedes = 3", r"sedes: Extra inputs"),
        ('source = "digits"', "", r"data\.source: Field required"),
        ("[profiles.cpu]", "[profiles.huge]", r"profiles\.huge.*'smoke', 'cpu', 'gpu' or 'published'"),
        ("values.better", "values.bettr", r"published, Person 1999, Table 1: there is no arm 'bettr'"),
        ("{ accuracy = 80.0", "{ f1 = 80.0", r"published, Person 1999, Table 1: 'f1' is not among"),
        ("accuracy = 80.0", "accuracy = nan", r"published\.0\.values\.better\.accuracy"),
        ("accuracy = 80.0", "accuracy = [80.0, 81.0]", r"better\.'accuracy' stands for 1 measures, and has 2 values"),
        ("values.better = { accuracy = 80.0 }", "values = {}", r"published\.0\.values"),
        ('measures = { accuracy = "%" }', "measures = {}", r"measures: "),
        ("seeds = 3", 'seeds = 3\ncontrols = ["bettr"]', r"controls\.0: unknown 'bettr'; did you mean 'better'"),
        ("seeds = 3", 'seeds = 3\nnotes = { bettr = "a" }', r"notes: no arm .*names 'bettr'; did you mean 'better'"),
        ("seeds = 3", 'seeds = 3\nnotes = { better = "" }', r"notes\.better: .*at least 1 character"),
        (
            'source = "digits"',
            'source = "digits"\noptions = { since = 2024-01-01 }',
            r"data\.options: .*date.*; give words",
        ),
        ("base = 0.5", "base = nan", r"settings: .*; give words, finite numbers"),
        ("seeds = 3", 'seeds = 3\nname = "x"', r"name: a study is called as its file"),
    ],
)
def test_errors_name_file_field_and_fault(table: str, old: str, new: str, said: str) -> None:
    from nervure.study.table import parse

    with pytest.raises(InputError, match=r"^mine\.toml: .*" + said) as caught:
        parse(table.replace(old, new, 1), "mine", "mine.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", table.names())
def test_what_is_drawn_several_times_or_trained_for_longer_says_so(name: str) -> None:
    study = table.load(name)
    drawn: set[str] = set()
    for arm in study.arms:
        criteria = study.trial_settings(arm, "cpu").get("criteria", {})
        if isinstance(criteria, dict):
            drawn |= {one for one, asked in criteria.items() if asked.get("draws", 1) > 1}
    trained = {"dropout", "lottery", "lottery-equal"} & set(study.arms)
    assert drawn | trained <= set(study.notes)


def test_a_figure_is_printed_once_at_a_place(table: str) -> None:
    from nervure.study.table import parse

    twice = table + "[[published]]" + table.split("[[published]]")[1].replace("80.0", "79.0")
    with pytest.raises(InputError, match=r"published, .*: better\.'accuracy' is there 2 times; give one figure"):
        parse(twice, "mine", "mine.toml")


def test_no_published_figure_must_be_said(table: str) -> None:
    from nervure.study.table import parse

    text = table.split("[[published]]")[0]
    with pytest.raises(InputError, match="unpublished"):
        parse(text, "mine", "mine.toml")
    assert parse('unpublished = "never printed"\n' + text, "mine", "mine.toml").published == ()


def test_names_files_and_profiles_that_are_not_there(tmp_path: Path, table: str) -> None:
    from nervure.study.table import load

    with pytest.raises(InputError, match="did you mean 'mnist-lenet5'"):
        load("mnist-lenet")
    with pytest.raises(InputError, match=r"no\.toml: cannot be read"):
        load(tmp_path / "no.toml")
    (tmp_path / "mine.toml").write_text(table)
    study = load(tmp_path / "mine.toml")
    assert study.name == "mine"
    with pytest.raises(InputError, match="mine: unknown profile 'cup'; did you mean 'cpu'"):
        study.profile("cup")
