"""What ranks have seen apart, merged on all of them."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist

from nervure.errors import InputError, NervureError
from nervure.observe.statistic import Statistic

__all__ = ["active", "agree", "merged", "rank"]

S = TypeVar("S", bound=Statistic)


def active() -> bool:
    """Whether this process is one of several in an initialised group.

    >>> active()
    False
    """
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Which of the group's processes this is.

    >>> rank()
    0
    """
    return dist.get_rank() if active() else 0


def agree(error: Exception | None) -> None:
    """Raise on every rank, if any of them met an error, so that none waits for another.

    >>> agree(None)
    """
    if not active():
        if error is not None:
            raise error
        return
    # Messages travel, not exceptions: not every exception can be pickled.
    mine = None if error is None else (isinstance(error, InputError), f"{type(error).__name__}: {error}")
    met: list[tuple[bool, str] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(met, mine)
    if error is not None:
        raise error
    for rank, theirs in enumerate(met):
        if theirs is not None:
            kind = InputError if theirs[0] else NervureError
            raise kind(f"rank {rank} failed while observing: {theirs[1]}")


def merged(statistic: S) -> S:
    """What all ranks together have seen: the same on each, merged in the order of ranks."""
    if not active():
        return statistic
    states: list[dict[str, object]] = [{}] * dist.get_world_size()
    dist.all_gather_object(states, statistic.state())
    whole = statistic.continued({})
    for state in states:
        if state:
            whole.merge(statistic.continued(state))  # type: ignore[arg-type]
    return whole
