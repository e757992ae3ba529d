"""Exact loss change without a unit: the oracle, one evaluation a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.prune.criteria.verdict import verdict

__all__ = ["Ablation"]


@dataclass(frozen=True)
class Ablation(Criterion):
    """Loss without a unit, minus the loss with all (spec majority-voting-pruning, 0.4 and 3).

    Costs an evaluation for each unit, so it suits small layers and the question how good the others are.

    >>> Ablation().needs_probe
    True
    """

    needs_labels: ClassVar[bool] = True
    needs_probe: ClassVar[bool] = True

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if probe is None:
            raise InputError("ablation evaluates the network for each unit; give probe=")
        whole = torch.ones(layer.units, dtype=torch.bool)
        intact = probe.loss({layer.name: whole})
        changes = []
        for unit in range(layer.units):
            keep = whole.clone()
            keep[unit] = False
            changes.append(probe.loss({layer.name: keep}) - intact)
        return verdict(layer, "loss change", torch.tensor(changes, dtype=torch.float64), intact=intact)
