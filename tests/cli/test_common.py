"""What commands do first."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nervure.cli import common
from nervure.errors import InputError


def test_pairs() -> None:
    given = ["size=32", "label=kind", "a-b=true", "widths=[3, 4]", "text==", "empty="]
    assert common.pairs(given, "--set") == {
        "size": 32, "label": "kind", "a_b": True, "widths": [3, 4], "text": "=", "empty": "",
    }  # fmt: skip
    assert common.pairs(None, "--set") == {}
    for wrong in ("size", "=3"):
        with pytest.raises(InputError, match="--set .*write it as key=value"):
            common.pairs([wrong], "--set")


class TestCheckFile:
    def test_what_may_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "old.csv").touch()
        common.check_file(None, False)
        common.check_file(tmp_path / "deep" / "er" / "new.csv", False, (".csv",))
        common.check_file(tmp_path / "old.csv", True, (".csv",))
        assert [path.name for path in tmp_path.iterdir()] == ["old.csv"]

    def test_what_may_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "old.csv").touch()
        cases = {
            "old.csv": "exists; choose another name, or give --overwrite",
            "new.txt": "the ending must be .csv or .json",
            "old.csv/new.csv": "old.csv is a file",
        }
        for name, message in cases.items():
            with pytest.raises(InputError, match=message):
                common.check_file(tmp_path / name, False, (".csv", ".json"))
        with pytest.raises(InputError, match="is a folder"):
            common.check_file(tmp_path, True)
        monkeypatch.setattr(os, "access", lambda *arguments: False)
        with pytest.raises(InputError, match="no permission"):
            common.check_file(tmp_path / "new.csv", False)


class TestOwnCode:
    def test_the_current_folder_comes_last_and_only_for_functions(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", before := [*sys.path])
        for name in ("lenet5", None, "odd:name/blueprint.json"):
            common.own_code(name)
        assert sys.path == before
        before = [*sys.path]
        common.own_code("mine:net")
        common.own_code("mine:net")
        assert sys.path == [*before, str(tmp_path)]


def test_messages_name_options_as_they_are_given_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.savez("one.npz", x=np.zeros((4, 3, 3), np.uint8), y=np.zeros(4, np.int64))
    with pytest.raises(InputError, match="--data-option task=none ignores labels"):
        common.load_data("one.npz", None, {})
    with pytest.raises(InputError, match="give --data-dir if"):
        common.load_data("sub/one.npz", None, {})
    assert common.load_data("one.npz", None, {"task": "none"}).task == "none"
    # where a run says its data was found is overruled by what is given now
    assert len(common.load_data("one", tmp_path, {"task": "none", "data_dir": "elsewhere"})) == 4
