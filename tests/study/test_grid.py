from __future__ import annotations

from nervure.study.grid import Trial, grid
from nervure.study.table import parse


def test_arms_by_seeds_seed_by_seed(table: str) -> None:
    study = parse(table, "mine", "mine.toml")
    found = [(trial.arm, trial.seed) for trial in grid(study, "smoke")]
    assert found == [("plain", 0), ("better", 0), ("plain", 1), ("better", 1)]
    assert len(grid(study, "cpu")) == 6
    assert len(grid(study, "cpu", seeds=1)) == 2


def test_keys_follow_what_decides_the_outcome(table: str) -> None:
    study = parse(table, "mine", "mine.toml")
    keys = [trial.key for profile in ("smoke", "cpu") for trial in grid(study, profile)]
    assert len(set(keys)) == len(keys) == 10
    assert keys[:4] == [trial.key for trial in grid(study, "smoke", seeds=2)]
    renamed = parse(table.replace("trials of", "the trials of"), "mine", "elsewhere.toml")
    assert keys[:4] == [trial.key for trial in grid(renamed, "smoke")]
    changed = parse(table.replace("base = 0.5", "base = 0.6"), "mine", "mine.toml")
    new = [trial.key for trial in grid(changed, "smoke")]
    assert [a == b for a, b in zip(keys[:4], new, strict=True)] == [False, True, False, True]


def test_a_key_is_the_same_on_every_machine_and_day() -> None:
    trial = Trial("mine", "smoke", "base", 0, "train", {"source": "digits", "options": {}}, {"b": 1, "a": [2]})
    same = Trial("mine", "smoke", "base", 0, "train", {"options": {}, "source": "digits"}, {"a": [2], "b": 1})
    assert trial.key == same.key == "095ea1b2ffb90948"
