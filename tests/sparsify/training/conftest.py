"""A process that ends in the middle of a step."""

from __future__ import annotations

import pytest

from killing import KillAt, Killed


@pytest.fixture
def kill_at() -> type[KillAt]:
    return KillAt


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed
