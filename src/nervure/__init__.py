"""Nervure spends a network's capacity where its data needs it.

The rooms are imported when they are first used::

    import nervure as nv

    ds = nv.data.load("digits")
    run = nv.train.fit(nv.nets.build("lenet5", ds), ds, nv.train.Recipe(epochs=5), out="runs/base")
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "cluster",
    "data",
    "errors",
    "evidence",
    "export",
    "features",
    "judge",
    "nets",
    "objectives",
    "observe",
    "prune",
    "registry",
    "report",
    "sparsify",
    "store",
    "study",
    "train",
)

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"nervure.{name}")
    raise AttributeError(f"module 'nervure' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
