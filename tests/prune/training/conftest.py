"""A few digits, and a process that ends in the middle of a step."""

from __future__ import annotations

import numpy as np
import pytest

from killing import KillAt, Killed
from nervure import data
from nervure.data import Dataset


@pytest.fixture(scope="package")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(500))


@pytest.fixture
def kill_at() -> type[KillAt]:
    return KillAt


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed
