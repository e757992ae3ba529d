from __future__ import annotations

from pathlib import Path

import pytest

from nervure.errors import InputError
from nervure.study.table import load, parse
from nervure.study.where import require_data


def test_absent_data_says_how_to_pass_it_and_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = load("mnist-lenet5")
    with pytest.raises(
        InputError, match=r"'mnist': give the folder that holds it with --data-dir; it is mnist\.npz.*https"
    ):
        require_data(study, None)
    with pytest.raises(InputError, match="there is none in"):
        require_data(study, tmp_path)
    (tmp_path / "mnist.npz").touch()
    require_data(study, tmp_path)


@pytest.mark.parametrize("source", ["all.npz:one", "hf:mnist", "digits"])
def test_other_sources(tmp_path: Path, table: str, source: str) -> None:
    (tmp_path / "all.npz").touch()
    require_data(parse(table.replace("digits", source), "mine", "mine.toml"), tmp_path)


def test_a_study_may_say_itself_where_its_data_is_to_be_had(tmp_path: Path, table: str) -> None:
    mine = table.replace('"digits"', '"mnist"\nget = "ask the office"')
    with pytest.raises(InputError, match=r"there is none in .*; ask the office$"):
        require_data(parse(mine, "mine", "mine.toml"), tmp_path)
    with pytest.raises(InputError, match=r"there is none in [^;]*$"):
        require_data(parse(table.replace("digits", "others"), "mine", "mine.toml"), tmp_path)
