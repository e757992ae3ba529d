"""A process that ends in the middle of a step."""

from __future__ import annotations

import pytest

from nervure.train import Callback, Loop


class Killed(BaseException):
    pass


class KillAt(Callback):
    """Ends the process's work in the middle of a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.done = 0

    def after_step(self, loop: Loop, batch: object) -> None:
        self.done += 1
        if self.done == self.step:
            raise Killed


@pytest.fixture
def kill_at() -> type[KillAt]:
    return KillAt


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed
