"""The static table of trials: name -> a function that makes one, with JSON settings in and measures out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nervure.registry import Table

__all__ = ["Job", "Measured", "TrialFunction", "trials"]


@dataclass(frozen=True)
class Job:
    """What a trial is given.

    Parameters
    ----------
    source, options : str, dict
        The data, as :func:`nervure.data.load` takes it.
    settings : dict
        JSON data; what it holds is the trial's own affair.
    seed : int
        Decides everything random.
    data_dir : str, optional
        Where this machine keeps its data; not part of the result.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    source: str
    options: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    seed: int = 0
    data_dir: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Measured:
    """What a trial gives: finite numbers by name, and seconds by name of what took them."""

    metrics: dict[str, float]
    durations: dict[str, float] = field(default_factory=dict)


TrialFunction = Callable[[Job], Measured]

trials: Table[TrialFunction] = Table(
    "trial",
    {"train": ("nervure.study.train_trial:train", "train one network and measure it on test", "own")},
    group="nervure.trials",
)
