"""Files are there whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nervure.errors import InputError
from nervure.store.atomic import alone, replacing, write_json, write_text


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


def test_a_folder_that_cannot_be_synchronised_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def refuses(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(22, "Invalid argument")
        sync(handle)

    monkeypatch.setattr("nervure.store.atomic.os.fsync", refuses)
    write_text(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"


def test_files_get_the_usual_rights(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_what_utf8_lacks_is_spelt_out(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9 \xc3\xa9")
    write_text(tmp_path / "a", f"{odd}\n")
    assert (tmp_path / "a").read_bytes() == b"caf\\udce9 \xc3\xa9\n"
    write_json(tmp_path / "a.json", odd)
    assert json.loads((tmp_path / "a.json").read_bytes()) == odd


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == []


class TestAlone:
    def test_it_is_free_again_when_a_process_is_killed(self, tmp_path: Path) -> None:
        code = "import sys, time; from pathlib import Path; from nervure.store.atomic import alone"
        held = f"{code}\nwith alone(Path({str(tmp_path)!r})):\n    print('held', flush=True); time.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            other.stdout.readline()
            with pytest.raises(InputError, match="another process is writing"), alone(tmp_path):
                pass
            other.kill()
        with alone(tmp_path):
            pass

    def test_a_failure_leaves_no_folder_and_keeps_its_own_words(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="mine"), alone(tmp_path / "a" / "b"):
            raise FileNotFoundError(2, "mine")
        assert os.listdir(tmp_path) == []
