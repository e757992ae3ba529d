"""What all tests share: one thread each, and none sees the caller's environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("NERVURE_DATA", None)

import pytest
import torch
from hypothesis import settings

from ranks import Pair

# a shell's background job ignores Ctrl-C, and so would every process that a test interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Two processes, begun once; what uses them is marked with the group "processes"."""
    begun = Pair()
    yield begun
    begun.end()


@pytest.fixture
def together(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What starts two processes gives its job to those that wait."""
    monkeypatch.setattr("nervure.train.launch.start", pair.start)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests start first, so that no worker is left with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
