from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from nervure.errors import InputError, MissingExtra
from nervure.study.journal import Claims

KEYS = [f"k{number}" for number in range(25)]
TAKER = """
import sys, time, pathlib
from nervure.study.journal import Claims
claims, go = Claims(pathlib.Path(sys.argv[1]), "s"), pathlib.Path(sys.argv[2])
print("ready", flush=True)
while not go.exists():
    time.sleep(0.005)
mine = []
for key in sys.argv[3:]:
    if claims.take(key):
        mine.append(key)
        claims.finish(key, 1.0)
print(*mine)
"""


@pytest.mark.slow  # two processes that import torch and optuna, on a machine that may be busy
def test_two_processes_take_every_trial_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = [sys.executable, "-c", TAKER, str(tmp_path / "journal"), str(go), *KEYS]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    go.touch()
    taken = [one.communicate(timeout=60)[0].split() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(taken[0] + taken[1]) == sorted(KEYS)


def test_a_claim_holds_until_it_is_given_back(tmp_path: Path) -> None:
    one, other = Claims(tmp_path / "j", "s"), Claims(tmp_path / "j", "s")
    assert one.take("a")
    assert not other.take("a")
    assert not one.take("a")
    one.give_back("a")
    assert other.take("a")
    other.finish("a", 2.0)
    assert not one.take("a")
    assert Claims(tmp_path / "j", "another").take("a")


def test_a_failure_is_tried_again_by_who_comes_later(tmp_path: Path) -> None:
    one, other = Claims(tmp_path / "j", "s"), Claims(tmp_path / "j", "s")
    assert one.take("a")
    one.fail("a")
    assert not other.take("a")
    assert not one.take("a")
    assert Claims(tmp_path / "j", "s").take("a")


def test_of_two_claims_made_at_once_the_first_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Claims(tmp_path / "j", "s"), Claims(tmp_path / "j", "s")
    looked = other._holder

    def blind(key: str) -> int | None:
        monkeypatch.setattr(other, "_holder", looked)
        assert one.take("a")
        return None

    monkeypatch.setattr(other, "_holder", blind)
    assert not other.take("a")
    assert not Claims(tmp_path / "j", "s").take("a")


def test_without_the_extra_and_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a file stands where a folder is needed"):
        Claims(tmp_path / "file" / "j", "s")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs optuna.*nervure\[sweep\]"):
        Claims(tmp_path / "j", "s")
