"""A process that ends in the middle of a step, for tests of resuming."""

from __future__ import annotations

from nervure.train import Callback, Loop


class Killed(BaseException):
    pass


class KillAt(Callback):
    """Ends the process's work in the middle of a step, as a kill would; a step that never comes ends nothing."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.done = 0

    def after_step(self, loop: Loop, batch: object) -> None:
        self.done += 1
        if self.done == self.step:
            raise Killed
