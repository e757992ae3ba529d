"""run.json is checked before anything that it names is read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import RunError
from nervure.store.record import SCHEMA, Record, digest_of, parse, render


def plain(**changes: Any) -> dict[str, Any]:
    data = {
        "source": "digits", "options": {}, "fingerprint": "", "kind": "image", "task": "classification",
        "names": ["a", "b"], "in_shape": [1, 8, 8], "preprocessing": {"scale": 1.0, "mean": [], "std": []},
    }  # fmt: skip
    whole = {
        "schema_version": SCHEMA, "origin": None, "lineage": [{"name": "train", "settings": {}, "seed": 0}],
        "data": data, "metrics": {"accuracy": 0.5, "broken": None}, "versions": {"nervure": "0"}, "files": {},
    }  # fmt: skip
    return {**whole, **changes}


def written(folder: Path, data: dict[str, Any]) -> Path:
    (folder / "run.json").write_text(json.dumps({**data, "digest": digest_of(data)}))
    return folder / "run.json"


def test_round_trip(tmp_path: Path) -> None:
    record = Record.model_validate(plain())
    (tmp_path / "run.json").write_text(json.dumps(render(record)))
    assert parse(tmp_path / "run.json") == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": {"a": 3}}, "files.a"),
        ({"data": {}}, "data.source: Field required"),
        ({"data": {**plain()["data"], "kind": "sound"}}, "data.kind"),
        ({"more": 1}, "more"),
        ({"lineage": [{"name": "train"}]}, "lineage.0.settings"),
        ({"schema_version": "1"}, "not a run's record"),
    ],
)
def test_a_record_of_another_form_is_refused_on_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError) as error:
        parse(written(tmp_path, plain(**change)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"run"', "\x00\xff"])
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError):
        parse(tmp_path / "run.json")


def test_no_record_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run \\(it has no run.json\\)"):
        parse(tmp_path / "run.json")
    with pytest.raises(RunError, match="nowhere: no such folder"):
        parse(tmp_path / "nowhere" / "run.json")


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_seen(place: int, bit: int) -> None:
    """Whatever is flipped, the record is either refused or means what it meant."""
    import tempfile

    record = Record.model_validate(plain())
    data = bytearray(json.dumps(render(record)).encode())
    data[place % len(data)] ^= 1 << bit
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run.json").write_bytes(data)
        with contextlib.suppress(RunError):
            assert parse(Path(folder) / "run.json") == record


def test_the_digest_does_not_hang_on_spelling() -> None:
    assert digest_of({"b": 1, "a": "é"}) == digest_of({"a": "é", "b": 1}) != digest_of({"a": "e", "b": 1})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"schema_version": 2, "digest": "", "more": ' + "[" * 100_000,
        r'{"schema_version": 2, "a": "\ud800"}',
    ],
)
def test_nesting_and_letters_that_no_record_has(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError):
        parse(tmp_path / "run.json")
