"""What ThiNet and channel LASSO share: units judged by how the next layers' outputs would change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Layer, Wanted
from nervure.observe.statistic import Site
from nervure.prune.criteria.contributions import Contributions, ContributionsResult
from nervure.prune.criteria.faithful import KINDS, unfaithful
from nervure.prune.criteria.readers import Reader, readers_of, required
from nervure.prune.criteria.seen import prepared

__all__ = ["NextLayer", "summed"]


@dataclass(frozen=True)
class NextLayer(Criterion):
    """A criterion that reads the contributions of units at ``per_example`` places of each example."""

    per_example: int = 10
    seed: int = 0
    _readers: Mapping[str, tuple[Reader, ...]] = prepared()
    _odd: Collection[str] = prepared()

    def __post_init__(self) -> None:
        if self.per_example < 1:
            raise InputError(f"per_example = {self.per_example}; give 1 or more places")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> Self:  # noqa: D102
        readers = readers_of(net, batches, layers)
        known = [one.name for each in readers.values() for one in each if isinstance(one.module, KINDS)]
        return replace(self, _readers=readers, _odd=unfaithful(net, batches, known))

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        readers = required(self._readers, layer, "this criterion")
        for reader in readers:
            if not isinstance(reader.module, KINDS) or reader.name in self._odd:
                raise InputError(
                    f"layer {layer.name!r} is read by {reader.name!r}, of type {type(reader.module).__name__}, where "
                    "the contributions of single units are not known; exclude it, or use another criterion"
                )
        return {
            reader.name: (Site(reader.name), Contributions(reader, self.per_example, self.seed)) for reader in readers
        }


def summed(results: Mapping[str, object]) -> Tensor:
    """(units, units) mean product of contributions, over all readers.

    >>> summed({"fc": ContributionsResult(torch.eye(2), 4)})
    tensor([[0.2500, 0.0000],
            [0.0000, 0.2500]])
    """
    parts = [one for one in results.values() if isinstance(one, ContributionsResult)]
    return torch.stack([one.gram / one.count for one in parts]).sum(0)
