"""Average rank of a unit's feature maps: a map of low rank holds little information."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe, Wanted
from nervure.observe.maprank import MapRank
from nervure.observe.statistic import Site
from nervure.prune.criteria.seen import example_of, prepared
from nervure.prune.criteria.trail import trails
from nervure.prune.criteria.verdict import verdict

__all__ = ["HRank"]


@dataclass(frozen=True)
class HRank(Criterion):
    """``R_j = mean_t rank(O_j(t))``, O behind batch norm and activation (spec ssim-kmeans-pruning, 7.1).

    Before pooling by default (``tensor="active"``), where the activation is a module; else, and with
    ``tensor="seen"``, as the next layer reads the units. Give it a few hundred images. Equal ranks are common
    on small maps: their number is noted, and the lower index stays.

    >>> HRank().needs_labels
    False
    """

    tensor: Literal["active", "seen"] = "active"
    _places: Mapping[str, Site] = prepared()

    def __post_init__(self) -> None:
        if self.tensor not in ("active", "seen"):
            raise InputError(f"tensor = {self.tensor!r}; give active or seen")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> HRank:  # noqa: D102
        found = trails(net, example_of(batches), layers)
        return replace(self, _places={one.name: found[one.name].maps(one, self.tensor) for one in layers})

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        return {"rank": (self._places.get(layer.name, Site(layer.name)), MapRank())}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        rank = results["rank"]
        assert isinstance(rank, Tensor)
        return verdict(layer, "average rank", rank, ties=len(rank) - len(rank.unique()))
