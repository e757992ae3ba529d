"""Channels judged by how well their maps mark the object in the picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.evidence import Figure, Images
from nervure.features.masks import MaskSource, source_of
from nervure.judge import Criterion, Judgement, Layer, Probe, Wanted
from nervure.observe.quantile import ExactQuantile, Quantile, QuantileResult
from nervure.observe.statistic import Site
from nervure.prune.criteria.majority_vote import heat_maps
from nervure.prune.criteria.overlap import Masks, Overlap, OverlapResult
from nervure.prune.criteria.seen import example_of, prepared
from nervure.prune.criteria.trail import trails
from nervure.prune.criteria.verdict import verdict

__all__ = ["IoUVote", "MaxVote", "SumIoU"]

SHOWN = 16


@dataclass(frozen=True)
class IoUVote(Criterion):
    """Votes of the images for the channels whose thresholded maps overlap their foreground most.

    Source: spec majority-voting-pruning, 7 to 9 (eqs. 6.2 to 6.5). Two passes: the first finds each channel's
    threshold, the second compares. Equal votes are ranked by mean IoU.

    Parameters
    ----------
    masks : str or MaskSource
        Where the foreground is: a name of ``features.masks.masks``, or for example ``features.masks.Given``.
    exceed_prob : float
        Share of a channel's positions above its threshold, over all images (``scope="data"``) or in each.
    scope : {"data", "image"}
        One threshold a channel, or one for each of its maps, which leaves equal areas on.
    l_frac : float
        Each image votes for ``max(1, ceil(l_frac * channels))`` channels.
    resolution : int, optional
        Compare at this side where the input is larger: an approximation for large images.
    exact : bool
        Keep every value of the first pass for exact thresholds; otherwise they lie within a bin of them.
    tensor : {"seen", "active"}
        Maps as the next layer reads them, or before pooling.

    Examples
    --------
    >>> IoUVote().needs_labels
    False
    """

    label: ClassVar[str] = "votes"
    masks: str | MaskSource = "otsu"
    exceed_prob: float = 0.2
    scope: Literal["data", "image"] = "data"
    l_frac: float = 0.2
    resolution: int | None = None
    exact: bool = False
    tensor: Literal["seen", "active"] = "seen"
    _places: Mapping[str, Site] = prepared()
    _source: Masks | None = field(default=None, repr=False, compare=False, metadata={"option": False})

    def __post_init__(self) -> None:
        if not 0 < self.exceed_prob < 1:
            raise InputError(f"exceed_prob = {self.exceed_prob}; give a share between 0 and 1")
        if not 0 < self.l_frac <= 1:
            raise InputError(f"l_frac = {self.l_frac}; give a share above 0, at most 1")
        if self.scope not in ("data", "image"):
            raise InputError(f"scope = {self.scope!r}; give data or image")
        if self.tensor not in ("seen", "active"):
            raise InputError(f"tensor = {self.tensor!r}; give seen or active")
        if self.resolution is not None and self.resolution < 1:
            raise InputError(f"resolution = {self.resolution}; give a number of pixels, or None")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> Self:  # noqa: D102
        found = trails(net, example_of(batches), layers)
        places = {one.name: found[one.name].maps(one, self.tensor) for one in layers}
        return replace(self, _places=places, _source=Masks(source_of(self.masks)))

    def _at(self, layer: Layer, statistic: Quantile | ExactQuantile | Overlap) -> Wanted:
        return self._places.get(layer.name, Site(layer.name)), statistic

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        if self.scope == "image":
            return {}
        level = 1 - self.exceed_prob
        return {"thresholds": self._at(layer, ExactQuantile(level) if self.exact else Quantile(level))}

    def follow(self, layer: Layer, results: Mapping[str, object]) -> Mapping[str, Wanted]:  # noqa: D102
        if self._source is None:
            raise InputError(f"layer {layer.name!r}: overlap must be prepared; judge with nervure.judge.judge")
        levels = results.get("thresholds")
        thresholds = levels.values[:, 0].contiguous() if isinstance(levels, QuantileResult) else None
        overlap = Overlap(
            self._source,
            thresholds,
            exceed_prob=self.exceed_prob,
            l_frac=self.l_frac,
            resolution=self.resolution,
        )
        return {"overlap": self._at(layer, overlap)}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        overlap = results["overlap"]
        assert isinstance(overlap, OverlapResult)
        mean = overlap.total / max(1, overlap.images)
        scores, tiebreak = self.score(overlap, mean)
        heat = heat_maps(layer, overlap.rows, self.l_frac, "IoU") if len(overlap.rows) else ()
        return verdict(
            layer,
            self.label,
            scores,
            tiebreak=tiebreak,
            figures=heat,
            marked=lambda stays: _grid(layer, overlap, mean, stays),
            masks=source_of(self.masks).name,
            exceed_prob=self.exceed_prob,
            images=overlap.images,
            skipped=overlap.skipped,
            silent=overlap.silent,
            mean_iou=float(mean.mean()),
            share_on=float(overlap.on.mean()),
        )

    def score(self, overlap: OverlapResult, mean: Tensor) -> tuple[Tensor, Tensor | None]:
        """(channels,) scores and tiebreak from what the second pass found and its ``mean`` IoU."""
        return overlap.votes, mean


@dataclass(frozen=True)
class SumIoU(IoUVote):
    """Summed IoU of each channel, without voting (spec majority-voting-pruning, 9).

    >>> SumIoU(exceed_prob=0.1).label
    'summed IoU'
    """

    label: ClassVar[str] = "summed IoU"

    def score(self, overlap: OverlapResult, mean: Tensor) -> tuple[Tensor, Tensor | None]:  # noqa: D102
        return overlap.total, None


@dataclass(frozen=True)
class MaxVote(IoUVote):
    """The control: channels with most votes are the first to go (spec majority-voting-pruning, 9).

    >>> MaxVote().label
    'votes against'
    """

    label: ClassVar[str] = "votes against"

    def score(self, overlap: OverlapResult, mean: Tensor) -> tuple[Tensor, Tensor | None]:  # noqa: D102
        return -overlap.votes, -mean


def _grid(layer: Layer, overlap: OverlapResult, mean: Tensor, stays: Tensor | None) -> tuple[Figure, ...]:
    """Masks of a few images, each beside maps of channels, those that are cut framed; spec fig. 6.11.

    Half of the channels are the best by mean IoU of those that stay, half the worst of those that are cut.
    """
    if not len(overlap.maps) or not overlap.masks[0].numel() > overlap.masks.shape[2]:
        return ()
    order = torch.argsort(mean, descending=True, stable=True)
    cut = torch.zeros(len(mean), dtype=torch.bool) if stays is None else ~stays
    order = torch.cat([order[~cut[order]], order[cut[order]]])
    shown = order if len(order) <= SHOWN else torch.cat([order[: SHOWN // 2], order[-SHOWN // 2 :]])
    sides = tuple(min(64, side) for side in overlap.masks.shape[1:])
    maps = F.interpolate(overlap.maps[:, shown].to(torch.float32), sides)
    masks = F.interpolate(overlap.masks[:, None].to(torch.float32), sides)
    pictures = (torch.cat([masks, maps], dim=1).flatten(0, 1).unsqueeze(1) * 255).to(torch.uint8)
    captions = [
        caption
        for position in overlap.index.tolist()
        for caption in (f"sample {position}: mask", *(f"unit {j}: {mean[j]:.2f}" for j in shown.tolist()))
    ]
    figure = Images(
        title=f"foreground and maps of {layer.name}",
        alt=f"masks of {len(overlap.maps)} images beside {len(shown)} channels, by mean IoU from "
        f"{mean.max():.2f} to {mean.min():.2f}" + (", those that are cut framed" if stays is not None else ""),
        pictures=np.asarray(pictures),
        captions=captions,
        columns=1 + len(shown),
        framed=torch.cat([torch.zeros(1, dtype=torch.bool), cut[shown]]).repeat(len(overlap.maps)).numpy(),
    )
    return (figure,)
