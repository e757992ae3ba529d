"""What a worker tells its parent, kept apart from all else that is printed in its process."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping

__all__ = ["own_output", "say"]

_own: list[int] = []


def own_output() -> None:
    """Take standard output for messages alone, for as long as this process lives.

    What else writes there, the user's code or a program that it starts, goes to standard error from here on.
    """
    sys.stdout.flush()
    _own.append(os.dup(1))
    os.dup2(2, 1)


def say(event: Mapping[str, object]) -> None:
    """Tell the parent something, as one line of JSON; only rank 0 speaks, and not to a parent that is gone."""
    if int(os.environ.get("RANK", 0)) != 0:
        return
    line = json.dumps(event) + "\n"
    with contextlib.suppress(BrokenPipeError):
        if not _own:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        left = line.encode()
        while left:  # without a buffer, which a handler of a signal could not write to as well
            left = left[os.write(_own[-1], left) :]
