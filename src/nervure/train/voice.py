"""What a worker tells its parent, kept apart from all else that is printed in its process."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import TextIO

__all__ = ["own_output", "say"]

_own: list[TextIO] = []


def own_output() -> None:
    """Take standard output for messages alone, for as long as this process lives.

    What else writes there, the user's code or a program that it starts, goes to standard error from here on.
    """
    sys.stdout.flush()
    _own.append(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)


def say(event: Mapping[str, object]) -> None:
    """Tell the parent something, as one line of JSON; only rank 0 speaks, and not to a parent that is gone."""
    if int(os.environ.get("RANK", 0)) == 0:
        out = _own[-1] if _own else sys.stdout
        with contextlib.suppress(BrokenPipeError):
            out.write(json.dumps(event) + "\n")
            out.flush()
