"""How often the processes of a group ask one another."""

from __future__ import annotations

import sys

import pytest

from nervure.train.asking import Asking


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is moved on."""
    now = [0.0]
    monkeypatch.setattr("nervure.train.asking.time.monotonic", lambda: now[0])
    return now


def asked_at(clock: list[float], seconds: float, calls: int) -> list[int]:
    """At which of so many calls, each after so many seconds, it is asked whether to stop."""
    asked: list[int] = []
    number = 0

    def stop() -> bool:
        asked.append(number)
        return False

    asking = Asking(stop)
    for number in range(1, calls + 1):  # noqa: B007 (read by stop)
        clock[0] += seconds
        assert not asking()
    return asked


@pytest.mark.parametrize(
    ("seconds", "asked"),
    [(0.0, [1, 17, 33]), (0.01, [1, 17, 33]), (0.5, list(range(1, 40, 4))), (3.0, list(range(1, 41)))],
)
def test_about_every_two_seconds_but_at_least_each_sixteenth_time(
    clock: list[float], seconds: float, asked: list[int]
) -> None:
    assert asked_at(clock, seconds, 40) == asked


def test_the_slowest_process_sets_the_pace(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules["nervure.train.asking"], "largest_of_ranks", lambda stop, seconds: [stop, max(seconds, 1.0)]
    )
    assert asked_at(clock, 0.01, 6) == [1, 3, 5]


def test_whoever_is_asked_all_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["nervure.train.asking"], "largest_of_ranks", lambda stop, seconds: [1.0, seconds])
    assert Asking(lambda: False)()
