"""Entropy of a unit's activation: a unit that always says the same says nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Judgement, Layer, Probe, Wanted
from nervure.observe.folded import Folded
from nervure.observe.histogram import Histogram, HistogramResult
from nervure.observe.summary import flat
from nervure.prune.criteria.seen import Looking, Where
from nervure.prune.criteria.verdict import verdict

__all__ = ["Entropy", "Pooled"]


class Pooled(Folded[Histogram]):
    """A histogram of each example's mean over positions, not of every position.

    >>> import torch
    >>> pooled = Pooled(Histogram(4), spread=1)
    >>> pooled.update(torch.tensor([[[0.0, 2.0]], [[3.0, 3.0]]]), None)
    >>> pooled.result().counts.sum().item()
    2
    """

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("pooled", self.inner.key)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        values = flat(activation)
        self.inner.update(values.mean(2) if values.shape[2] > 1 else values, batch)


@dataclass(frozen=True)
class Entropy(Looking):
    """Entropy in nats of a histogram of each unit's activation (spec majority-voting-pruning, 3 and 12).

    Parameters
    ----------
    bins : int
        Between half of them and all span a unit's values; their width is a power of two.
    pooled : bool
        One value an example, its mean over positions; otherwise every position counts.
    tensor : {"pre_bn", "seen"}
        The layer's own output, or as the next layer reads it.

    Examples
    --------
    >>> Entropy(bins=32).wants(Layer("fc", __import__("torch").nn.Linear(1, 1), 1))["histogram"].key
    ('pooled', ('histogram', 32))
    """

    bins: int = 64
    pooled: bool = True
    tensor: Where = "pre_bn"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.bins <= 65536:
            raise InputError(f"bins = {self.bins}; give 2 to 65536")

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        histogram = Pooled(Histogram(self.bins), 1) if self.pooled else Histogram(self.bins)
        return {"histogram": self.at(layer, histogram)}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        histogram = results["histogram"]
        assert isinstance(histogram, HistogramResult)
        return verdict(layer, "entropy", histogram.entropy, tensor=self.tensor, bins=self.bins)
