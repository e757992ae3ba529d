"""Run: one network and everything needed to build, check and continue it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import cast, get_args

from torch import nn

from nervure.data.dataset import Dataset, Kind, Preprocessing, Task
from nervure.evidence import Figure
from nervure.nets.origin import Origin, origin_of

__all__ = ["Action", "History", "Run", "own_task", "versions"]

History = list[dict[str, float | int | str | None]]


@dataclass(frozen=True)
class Action:
    """One entry of a lineage: what was done, with which settings and seed, and what was typed for it, if anything."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None
    command: str = ""

    def to_json(self) -> dict[str, object]:
        """As plain JSON data."""
        return {"name": self.name, "settings": dict(self.settings), "seed": self.seed, "command": self.command}


@dataclass(eq=False)
class Run:
    """A network with its history, figures, lineage, and what it knows of its data.

    ``history`` has a row an epoch. ``metrics`` are of the test split where there is one. ``source`` and
    ``options`` are what :func:`nervure.data.load` takes to find the data again.
    """

    net: nn.Module
    in_shape: tuple[int, ...]
    kind: Kind
    task: Task
    names: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    source: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str = ""
    history: History = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Figure] = field(default_factory=dict)
    lineage: tuple[Action, ...] = ()
    versions: Mapping[str, str] = field(default_factory=lambda: versions())
    path: Path | None = None

    @property
    def origin(self) -> Origin | None:
        """What the network was built from; None for a stranger's module."""
        return origin_of(self.net)

    @classmethod
    def of(cls, net: nn.Module, ds: Dataset, lineage: tuple[Action, ...] = ()) -> Run:
        """A run of ``net`` on ``ds``, with nothing measured yet.

        The task is the data's, but for a network that has a task of its own and names what it gives: a clusterer.
        """
        own = own_task(net)
        return cls(
            net=net,
            in_shape=ds.in_shape,
            kind=ds.kind,
            task=own or ds.task,
            names=getattr(net, "names", ds.names) if own == "clustering" else ds.names,
            preprocessing=ds.preprocessing,
            source=ds.source,
            options=ds.options,
            fingerprint=ds.fingerprint,
            lineage=lineage,
        )


def own_task(net: nn.Module) -> Task | None:
    """The task that a network says it has, whatever that of its data; other words in its attribute ``task`` are none.

    >>> net = nn.Linear(2, 2)
    >>> net.task = "imagenet"
    >>> own_task(net) is None
    True
    """
    said = getattr(net, "task", None)
    return cast(Task, said) if isinstance(said, str) and said in get_args(Task) else None


def versions() -> dict[str, str]:
    """Versions of what computes, for the record: nervure, Python, torch and numpy."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in ("nervure", "torch", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found
