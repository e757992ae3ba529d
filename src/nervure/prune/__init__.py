"""Whole units: criteria judge them, a plan says which stay, apply removes the others, recover repairs.

>>> from nervure import nets, prune
>>> net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
>>> plan = prune.plan(net, None, criterion="l1", target=prune.Target(macs=0.5))
>>> small = plan.apply(net)
>>> nets.count(small, (1, 28, 28)).macs == plan.macs_after <= plan.macs_before / 2
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from nervure.nets.structure.layers import layers
from nervure.nets.structure.silence import ablated
from nervure.prune import criteria
from nervure.prune.apply import apply
from nervure.prune.plan import Plan
from nervure.prune.planner import plan
from nervure.prune.probe import MaskProbe
from nervure.prune.recover import recover
from nervure.prune.target import Target

if TYPE_CHECKING:
    from types import ModuleType

    from nervure.prune import training

__all__ = ["MaskProbe", "Plan", "Target", "ablated", "apply", "criteria", "layers", "plan", "recover", "training"]


def __getattr__(name: str) -> ModuleType:
    if name != "training":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.training")
