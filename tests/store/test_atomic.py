"""Files are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nervure.store.atomic import replacing, write_json, write_text


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")

    def stop_half_way() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_half_way()
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_files_get_the_usual_rights(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == []
