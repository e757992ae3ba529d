"""How the processes of a group ask one another whether to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from nervure.train.runtime import largest_of_ranks

__all__ = ["Asking"]

_SECONDS = 2.0  # between one agreement and the next, about
_MOST = 16  # calls between the two, however short a call is: a change of pace is noticed by then


class Asking:
    """Says whether any process of the group was asked to stop; all processes call it equally often.

    Agreement costs a message, so that it is not sought at every call: all of them know from the slowest one's pace
    after how many calls two seconds will have passed.

    Parameters
    ----------
    stop : callable
        Whether this process was asked to stop.

    Examples
    --------
    >>> Asking(lambda: True)()
    True
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.stop = stop
        self._left = self._calls = 1
        self._since = time.monotonic()

    def __call__(self) -> bool:
        """Whether to stop, the same on every process."""
        self._left -= 1
        if self._left:
            return False
        now = time.monotonic()
        stop, seconds = largest_of_ranks(float(self.stop()), (now - self._since) / self._calls)
        self._left = self._calls = int(min(_MOST, max(1, _SECONDS / max(seconds, 1e-9))))
        self._since = now
        return bool(stop)
