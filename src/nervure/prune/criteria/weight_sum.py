"""Sum of the magnitudes of a unit's outgoing weights: what the next layers make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.prune.criteria.norms import rows, sums
from nervure.prune.criteria.readers import Reader, outgoing_sums, readers_of, required
from nervure.prune.criteria.seen import prepared
from nervure.prune.criteria.verdict import verdict

__all__ = ["WeightSum"]


@dataclass(frozen=True)
class WeightSum(Criterion):
    """``sum_j |w_pj|`` over the outgoing weights of unit p (spec majority-voting-pruning, 3).

    ``direction="in"`` sums the incoming weights instead, as for filters in section 12.

    >>> layer = Layer("fc", nn.Linear(2, 1), 1)
    >>> WeightSum(direction="in").judge(layer, {"weight": torch.tensor([[1.0, -2.0]])}, {}).scores
    tensor([3.], dtype=torch.float64)
    """

    direction: Literal["out", "in"] = "out"
    _readers: Mapping[str, tuple[Reader, ...]] = prepared()

    def __post_init__(self) -> None:
        if self.direction not in ("out", "in"):
            raise InputError(f"direction = {self.direction!r}; give out or in")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> WeightSum:  # noqa: D102
        return self if self.direction == "in" else replace(self, _readers=readers_of(net, batches, layers))

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if self.direction == "in":
            return verdict(layer, "weight sum", sums(rows(layer, weights)), direction="in")
        readers = required(self._readers, layer, "weight-sum")
        parts = torch.stack([outgoing_sums(reader).cpu() for reader in readers])
        return verdict(layer, "weight sum", parts.sum(0), direction="out", readers=[one.name for one in readers])
