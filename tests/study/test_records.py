from __future__ import annotations

import json
from pathlib import Path

import pytest

from nervure.errors import InputError
from nervure.study.grid import Trial
from nervure.study.records import Record, read, write

TRIAL = Trial("mine", "smoke", "base", 0, "train", {"source": "digits", "options": {}}, {"net": "lenet5"})


def test_a_record_comes_back(tmp_path: Path) -> None:
    assert read(tmp_path, TRIAL) is None
    write(tmp_path, Record(TRIAL, error="no data"))
    assert read(tmp_path, TRIAL).done is False  # type: ignore[union-attr]
    write(tmp_path, Record(TRIAL, {"accuracy": 0.5}, {"total": 1.5}, {"cpu": "a", "threads": 1}))
    found = read(tmp_path, TRIAL)
    assert found is not None
    assert (found.metrics, found.durations, found.done) == ({"accuracy": 0.5}, {"total": 1.5}, True)
    assert [path.name for path in (tmp_path / "trials").iterdir()] == [f"{TRIAL.key}.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', "another"])
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, text: str) -> None:
    write(tmp_path, Record(TRIAL))
    path = tmp_path / "trials" / f"{TRIAL.key}.json"
    if text == "another":
        text = json.dumps({**json.loads(path.read_text()), "key": "0" * 16})
    path.write_text(text)
    with pytest.raises(InputError, match=f"{TRIAL.key}.json: not the record.*delete it"):
        read(tmp_path, TRIAL)
