"""When Algorithm 3 prunes and when it stops: a state machine over validation scores, and the widths that follow.

Source: spec majority-voting-pruning, 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nervure.errors import InputError

__all__ = ["Cycles", "Mode", "Rules", "Verdict", "dense_weights", "remaining", "shrunk"]

Mode = Literal["cap", "patience"]


def remaining(units: int, remove: float) -> int:
    """``floor((1 - remove) * units)``, at least one (spec majority-voting-pruning, 0.2 and 4).

    >>> remaining(4000, 0.05), remaining(10, 0.05), remaining(1, 0.05)
    (3800, 9, 1)
    """
    return max(1, math.floor((1 - remove) * units + 1e-9))


def shrunk(widths: Sequence[int], remove: float, events: int) -> tuple[int, ...]:
    """Widths after so many events.

    >>> shrunk((4000, 1000, 4000), 0.05, 24)
    (1162, 286, 1162)
    """
    now = tuple(widths)
    for _ in range(events):
        now = tuple(remaining(units, remove) for units in now)
    return now


def dense_weights(widths: Sequence[int]) -> int:
    """Weights, without biases, of dense layers between ``widths``: inputs, hidden layers, outputs.

    >>> dense_weights((3072, 1162, 286, 1162, 10))
    4245948
    """
    return sum(before * after for before, after in itertools.pairwise(widths))


@dataclass(frozen=True)
class Rules:
    """What the state machine goes by.

    Parameters
    ----------
    epochs : int
        The thesis's t: the most epochs of a cycle, or with ``mode="patience"`` how many without a better score
        end it.
    cycles : int
        The thesis's E: the most cycles with a chance to prune.
    stall : int, optional
        Stop after so many cycles in a row without pruning.
    mode : str
        ``"cap"`` or ``"patience"``.
    patience : int, optional
        With ``mode="cap"``: a cycle also ends after so many epochs without a better score in it.
    min_delta : float
        By how much more than nothing a cycle must exceed the best so far.
    tolerance : float
        If above 0, a cycle at most so much below the best so far prunes as well.
    """

    epochs: int = 20
    cycles: int = 100
    stall: int | None = 5
    mode: Mode = "cap"
    patience: int | None = 5
    min_delta: float = 0.0
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "cycles", "stall", "patience"):
            value = getattr(self, name)
            optional = name in ("stall", "patience") and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} = {value!r}; give a whole number from 1")
        if self.mode not in ("cap", "patience"):
            raise InputError(f"cycle_mode = {self.mode!r}; give 'cap' or 'patience'")
        for name in ("min_delta", "tolerance"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InputError(f"{name} = {value!r}; give 0 or more")
        if self.min_delta and self.tolerance:
            raise InputError("min_delta asks for more than the best, tolerance for less; give one of them")


@dataclass(frozen=True)
class Verdict:
    """What one epoch's score means.

    ``best_in_cycle``: its weights are the best of the cycle so far. ``ends``: the cycle is over, and its best weights
    count. ``prune``: an event follows. ``stop``: training is over.
    """

    cycle: int
    best_in_cycle: bool
    ends: bool
    prune: bool
    stop: bool


class Cycles:
    """Steps 2 and 3 of Algorithm 3, told one validation score an epoch; a higher score is better.

    An event happens at a cycle's end if the cycle's best score exceeds the best so far, which is never lowered. If the
    last cycle allowed prunes, one more cycle without an event trains what is left.

    Parameters
    ----------
    rules : Rules
        Lengths of cycles, and what stops them.
    start : float
        The best so far before any cycle: 0 for an accuracy.

    Examples
    --------
    >>> cycles = Cycles(Rules(epochs=1, stall=2))
    >>> [(one.prune, one.stop) for one in map(cycles.after_epoch, [0.5, 0.5, 0.6, 0.6, 0.4])]
    [(True, False), (False, False), (True, False), (False, False), (False, True)]
    """

    def __init__(self, rules: Rules, start: float = 0.0) -> None:
        self.rules = rules
        self.best = start
        self.cycle = 1
        self.epoch = 0
        self.stale = 0
        self.top = -math.inf
        self.unpruned = 0
        self.unimproved = 0
        self.events = 0

    def after_epoch(self, score: float) -> Verdict:
        """Take in the score of one epoch."""
        cycle = self.cycle
        better = score > self.top
        self.epoch += 1
        self.stale = 0 if better else self.stale + 1
        self.top = max(self.top, score)
        if not self._over():
            return Verdict(cycle, better, False, False, False)
        prune = cycle <= self.rules.cycles and self._earned()
        stop = self._close(prune)
        return Verdict(cycle, better, True, prune, stop)

    def _over(self) -> bool:
        if self.rules.mode == "patience":
            return self.stale >= self.rules.epochs
        waited = self.rules.patience is not None and self.stale >= self.rules.patience
        return waited or self.epoch >= self.rules.epochs

    def _earned(self) -> bool:
        if self.rules.tolerance:
            return self.top >= self.best - self.rules.tolerance
        return self.top > self.best + self.rules.min_delta

    def _close(self, prune: bool) -> bool:
        """End the cycle; whether it was the last."""
        self.unimproved = 0 if self.top > self.best else self.unimproved + 1
        self.unpruned = 0 if prune else self.unpruned + 1
        self.best = max(self.best, self.top)
        self.events += prune
        self.cycle, self.epoch, self.stale, self.top = self.cycle + 1, 0, 0, -math.inf
        stalled = self.rules.stall is not None and self.unpruned >= self.rules.stall
        return stalled or (self.cycle > self.rules.cycles and not prune)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the rules."""
        return {name: value for name, value in vars(self).items() if name != "rules"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for name in self.state_dict():
            setattr(self, name, state[name])
