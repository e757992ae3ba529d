"""Methods that no look at a finished network can stand for: they train. Run them with ``sparsify.train_with``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.sparsify.criteria.edges import magnitude

__all__ = ["L1", "Dropout", "Lottery", "Trained"]


class Trained(Criterion):
    """A method that trains; to rank what it left, its scores are magnitudes.

    >>> Lottery.needs_training, Lottery.reads_data
    (True, False)
    """

    needs_training: ClassVar[bool] = True
    comparable: ClassVar[bool] = True
    reads_data: ClassVar[bool] = False

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        return Judgement(magnitude(layer, weights))


@dataclass(frozen=True)
class L1(Trained):
    """A penalty ``strength * sum |W|`` while training; weights under ``threshold`` go at the end (spec isparse, 2.10).

    >>> L1().strength
    1e-05
    """

    strength: float = 1e-5
    threshold: float = 1e-3

    def __post_init__(self) -> None:
        if self.strength < 0 or self.threshold < 0:
            raise InputError(f"l1: strength = {self.strength!r} and threshold = {self.threshold!r}; give 0 or more")


@dataclass(frozen=True)
class Dropout(Trained):
    """Random activations dropped while training, none in use: the sparsity is nominal (spec isparse, 2.10).

    >>> Dropout().needs_training
    True
    """


@dataclass(frozen=True)
class Lottery(Trained):
    """Rounds of training and magnitude pruning, each from the first weights again (spec isparse, 2.10).

    >>> Lottery().rounds
    3
    """

    rounds: int = 3

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"lottery: rounds = {self.rounds!r}; give 1 or more")
