"""Overlap: how well the maps of each channel agree with the foreground of each image."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError, MissingExtra
from nervure.features.masks import MaskSource
from nervure.observe.sums import Sums, count
from nervure.observe.votes import votes_each
from nervure.prune.criteria.rows import Lowest

__all__ = ["Masks", "Overlap", "OverlapResult", "iou", "overlaps", "resized"]

PIXELS = 1 << 22  # interpolated values held at a time
ROWS, PICTURES = 32, 4
PICTURE_BYTES = 1 << 24
FEWEST, MOST = 0.01, 0.99


@functools.cache
def _numba_installed() -> bool:
    return importlib.util.find_spec("numba") is not None


class Masks:
    """A mask source that computes the masks of a batch once, however many layers ask.

    >>> from nervure.features.masks import Otsu
    >>> masks = Masks(Otsu())
    >>> batch = Batch(torch.eye(4)[None, None], None, torch.arange(1))
    >>> masks(batch) is masks(batch)
    True
    """

    def __init__(self, source: MaskSource) -> None:
        self.source = source
        self._x: Tensor | None = None
        self._mask: Tensor | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """(n, height, width) bool; a series or table as one row."""
        if self._x is not batch.x or self._mask is None:
            mask = self.source(batch)
            sides = batch.x.shape[2:] if batch.x.ndim > 2 else batch.x.shape[1:]
            if mask.dtype != torch.bool or tuple(mask.shape) != (len(batch.x), *sides):
                raise InputError(
                    f"{self.source.name}: masks of shape {tuple(mask.shape)}, {mask.dtype}, for "
                    f"{len(batch.x)} samples of {tuple(sides)}; give bool masks of the input's own size"
                )
            self._x, self._mask = batch.x, _pictured(mask)
        return self._mask


def _pictured(values: Tensor) -> Tensor:
    """(n, ...) as (n, height, width): a series as one row."""
    if values.ndim > 3:
        raise InputError(f"maps over {values.ndim - 1} axes; overlap needs one or two")
    return values.unsqueeze(1) if values.ndim == 2 else values


def resized(mask: Tensor, sides: tuple[int, int]) -> Tensor:
    """``mask`` (n, height, width) bool at other ``sides``: on where half of the area or more is.

    >>> resized(torch.tensor([[[True, True, False, False]]]), (1, 2))
    tensor([[[ True, False]]])
    """
    if tuple(mask.shape[1:]) == sides:
        return mask
    return F.interpolate(mask[:, None].to(torch.float32), sides, mode="area")[:, 0] >= 0.5


def overlaps(
    maps: Tensor, thresholds: Tensor, mask: Tensor, *, compiled: bool | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels where map and mask are on, and where the map is, (n, channels) int64; and the maps' means, float64.

    Maps are interpolated to the mask's sides, bilinearly between centres of pixels, then compared (spec
    majority-voting-pruning, 7).

    Parameters
    ----------
    maps : (n, channels, height, width)
    thresholds : (n, channels)
        A pixel is on where it is strictly larger.
    mask : (n, mask height, mask width) bool
    compiled : bool, optional
        None: the compiled form (extra ``fast``) where it is installed and the maps are on the CPU.

    Examples
    --------
    >>> maps = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    >>> overlaps(maps, torch.tensor([[0.5]]), torch.eye(2, dtype=torch.bool)[None])
    (tensor([[1]]), tensor([[3]]), tensor([[1.5000]], dtype=torch.float64))
    """
    if compiled and not _numba_installed():
        raise MissingExtra("numba", "fast", "a compiled kernel")
    thresholds = thresholds.to(maps)
    if compiled is not False and _numba_installed() and maps.device.type == "cpu":
        from nervure.prune.criteria import overlap_kernel

        if overlap_kernel.usable(maps):
            return overlap_kernel.overlaps(maps, thresholds, mask)
    return _plain(maps, thresholds, mask)


def _plain(maps: Tensor, thresholds: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    both, on = [maps.new_zeros(0, maps.shape[1])], [maps.new_zeros(0, maps.shape[1])]
    step = max(1, PIXELS // max(1, maps.shape[1] * mask.shape[1] * mask.shape[2]))
    for start in range(0, len(maps), step):
        at = slice(start, start + step)
        large = maps[at]
        if large.shape[2:] != mask.shape[1:]:
            large = F.interpolate(large, tuple(mask.shape[1:]), mode="bilinear", align_corners=False)
        bright = (large > thresholds[at, :, None, None]).flatten(2).to(torch.float32)
        # Counts stay below 2**24, so float32 products are exact.
        both.append((bright @ mask[at].flatten(1).to(torch.float32).unsqueeze(2)).squeeze(2))
        on.append(bright.sum(2))
    means = maps.sum((2, 3), dtype=torch.float64) / maps[0, 0].numel() if len(maps) else both[0].to(torch.float64)
    return torch.cat(both).to(torch.int64), torch.cat(on).to(torch.int64), means


def iou(both: Tensor, on: Tensor, area: Tensor) -> Tensor:
    """(n, channels) float64 intersection over union from counts; 0 for an empty union (spec eq. 6.2).

    >>> iou(torch.tensor([[3]]), torch.tensor([[4]]), torch.tensor([6]))
    tensor([[0.4286]], dtype=torch.float64)
    """
    union = on + area[:, None] - both
    return both.to(torch.float64) / union.clamp(min=1)


def iou_votes(rows: Tensor, ties: Tensor, l_frac: float) -> Tensor:
    """(channels,) int64: in how many rows (n, channels) of IoU a channel is among the ``l`` best (spec eq. 6.3).

    Small maps often have equal IoU; then the larger one of ``ties`` (n, channels) comes first, then the lower
    index.

    >>> iou_votes(torch.tensor([[0.5, 0.5, 0.2]]), torch.tensor([[1.0, 2.0, 9.0]]), 1 / 3)
    tensor([0, 1, 0])
    """
    each = votes_each(rows.shape[1], l_frac)
    last = rows.topk(each, dim=1, sorted=False).values.amin(1, keepdim=True)
    reach = rows >= last
    # Only where more reach the last place than there are places, ties must be looked at.
    tied = reach.sum(1) > each
    votes = reach[~tied].sum(0)
    if not bool(tied.any()):
        return votes
    order = ties[tied].argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, rows[tied].gather(1, order).argsort(dim=1, descending=True, stable=True))
    return votes + torch.bincount(order[:, :each].flatten(), minlength=rows.shape[1])


@dataclass(frozen=True, eq=False)
class OverlapResult:
    """What was accumulated over ``images``; ``skipped`` had almost no or only foreground.

    ``votes`` (channels,) int64, of ``images - silent``: in silent ones no channel touched the foreground.
    ``total`` (channels,) float64 summed IoU; ``on`` (channels,) mean share of pixels on. Of a few images:
    ``rows`` (images, channels) IoU, ``maps`` (images, channels, h, w) and ``masks`` (images, h', w') bool, at
    the positions ``index`` in the data.
    """

    votes: Tensor
    total: Tensor
    on: Tensor
    images: int
    skipped: int
    silent: int
    rows: Tensor
    maps: Tensor
    masks: Tensor
    index: Tensor


class Overlap(Sums):
    """IoU of thresholded maps with input masks, image by image, and the images' votes (spec 7 to 9).

    Memory doesn't grow with the number of images. Images whose foreground covers less than 1 % or more than
    99 % are skipped, but not all of them; one that no channel touches gives no votes. Of channels with equal IoU
    in an image the one with the larger mean comes first.

    Parameters
    ----------
    masks : Masks
    thresholds : Tensor, optional
        (channels,); None for each image's own quantile, which leaves equal areas on.
    exceed_prob : float
        The share of positions above that quantile.
    l_frac : float
        Each image votes for ``max(1, ceil(l_frac * channels))`` channels.
    resolution : int, optional
        Compare at this side, if it is larger than the map's and smaller than the input's; None: the input's.
    compiled : bool, optional
        As in :func:`overlaps`.

    Examples
    --------
    >>> from nervure.features.masks import Given
    >>> half = torch.tensor([[[True, False], [True, False]]])
    >>> overlap = Overlap(Masks(Given(half.numpy())), torch.tensor([0.5, 0.5]))
    >>> maps = torch.stack([half.float(), 1 - half.float()], dim=1)
    >>> overlap.update(maps, Batch(maps, None, torch.arange(1)))
    >>> overlap.result().votes, overlap.result().total
    (tensor([1, 0]), tensor([1., 0.], dtype=torch.float64))
    """

    def __init__(
        self,
        masks: Masks,
        thresholds: Tensor | None = None,
        *,
        exceed_prob: float = 0.2,
        l_frac: float = 0.2,
        resolution: int | None = None,
        compiled: bool | None = None,
    ) -> None:
        super().__init__()
        self.masks = masks
        self.thresholds = thresholds
        self.exceed_prob = exceed_prob
        self.l_frac = l_frac
        self.resolution = resolution
        self.compiled = compiled
        self._rows, self._maps, self._shown = Lowest(ROWS), Lowest(PICTURES), Lowest(PICTURES)

    @property
    def key(self) -> Hashable:  # noqa: D102
        level: Hashable = self.exceed_prob
        if self.thresholds is not None:
            level = hashlib.sha256(self.thresholds.numpy().tobytes()).hexdigest()
        return ("overlap", self.masks.source, level, self.l_frac, self.resolution, self.compiled)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        if batch is None:
            raise InputError("overlap needs the batch whose maps these are; give batch")
        maps = _maps(activation)
        whole = self.masks(batch).to(maps.device)
        if len(maps) != len(whole):
            raise InputError(
                f"overlap needs a map for each image, not {len(maps)} for {len(whole)}; exclude this layer"
            )
        share = whole.flatten(1).to(torch.float64).mean(1)
        valid = (share >= FEWEST) & (share <= MOST)
        self.add(skipped=count(int((~valid).sum())), images=count(int(valid.sum())))
        index = batch.index.to(maps.device)
        if not bool(valid.all()):
            maps, whole, index = maps[valid], whole[valid], index[valid]
        self._compare(maps, whole, index)

    def _compare(self, maps: Tensor, whole: Tensor, index: Tensor) -> None:
        mask = resized(whole, self._sides(maps, whole))
        thresholds = self._levels(maps)
        both, on, means = overlaps(maps, thresholds, mask, compiled=self.compiled)
        rows = iou(both, on, mask.flatten(1).sum(1))
        heard = (rows > 0).any(1)
        self.add(
            # NaN would vanish in the counts, so it is kept in a sum of its own.
            check=means.sum(),
            votes=iou_votes(rows[heard], means[heard], self.l_frac),
            total=rows.sum(0),
            on=on.sum(0).to(torch.float64) / mask[0].numel() if len(mask) else rows.sum(0),
            silent=count(int((~heard).sum())),
        )
        self._keep(index, rows, maps, thresholds, mask)

    def _sides(self, maps: Tensor, whole: Tensor) -> tuple[int, int]:
        sides = [
            side if self.resolution is None else min(side, max(own, self.resolution))
            for side, own in zip(whole.shape[1:], maps.shape[2:], strict=True)
        ]
        return sides[0], sides[1]

    def _levels(self, maps: Tensor) -> Tensor:
        if self.thresholds is not None:
            if len(self.thresholds) != maps.shape[1]:
                raise InputError(f"{len(self.thresholds)} thresholds for {maps.shape[1]} channels")
            return self.thresholds.to(maps).expand(len(maps), -1)
        flat = maps.flatten(2)
        # The convention of the streamed quantile: the lower of two neighbours.
        rank = math.floor((1 - self.exceed_prob) * (flat.shape[2] - 1) + 1e-9)
        return flat.kthvalue(rank + 1, dim=2).values

    def _keep(self, index: Tensor, rows: Tensor, maps: Tensor, thresholds: Tensor, mask: Tensor) -> None:
        place = index.cpu()
        at = self._rows.wanted(place)
        self._rows.add(place[at], rows.cpu()[at])
        if maps[0:1].numel() * PICTURES > PICTURE_BYTES:
            return
        at = self._maps.wanted(place)
        if len(at):
            there = at.to(maps.device)
            self._maps.add(place[at], maps[there] > thresholds[there][:, :, None, None])
            self._shown.add(place[at], mask[there])

    def merge(self, other: Self) -> None:  # noqa: D102
        super().merge(other)
        for mine, theirs in zip(self._kept(), other._kept(), strict=True):
            if theirs.index is not None and theirs.rows is not None:
                mine.add(theirs.index, theirs.rows)

    def _kept(self) -> tuple[Lowest, Lowest, Lowest]:
        return self._rows, self._maps, self._shown

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        state = super().state()
        for name, kept in zip(("row", "map", "mask"), self._kept(), strict=True):
            if kept.index is not None and kept.rows is not None:
                state |= {f"{name}/index": kept.index, f"{name}/values": kept.rows}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        super().load_state({name: part for name, part in state.items() if "/" not in name})
        self._rows, self._maps, self._shown = Lowest(ROWS), Lowest(PICTURES), Lowest(PICTURES)
        for name, kept in zip(("row", "map", "mask"), self._kept(), strict=True):
            if f"{name}/index" in state:
                kept.add(state[f"{name}/index"], state[f"{name}/values"])

    def result(self) -> OverlapResult:  # noqa: D102
        images, skipped = int(self.total("images")), int(self.total("skipped"))
        if skipped and not images:
            raise InputError(
                f"{self.masks.source.name}: of none of the {skipped} images between {FEWEST:.0%} and {MOST:.0%} is "
                "foreground; give masks that mark a part of the image"
            )
        votes = self.total("votes")
        nothing = torch.zeros(0, len(votes), 1, 1, dtype=torch.bool)
        maps = nothing if self._maps.rows is None else self._maps.rows
        shown = torch.zeros(0, 1, 1, dtype=torch.bool) if self._shown.rows is None else self._shown.rows
        index = torch.zeros(0, dtype=torch.int64) if self._maps.index is None else self._maps.index
        rows = torch.zeros(0, len(votes)) if self._rows.rows is None else self._rows.rows
        return OverlapResult(
            votes,
            self.total("total"),
            self.total("on") / max(1, images),
            images,
            skipped,
            int(self.total("silent")),
            rows,
            maps,
            shown,
            index,
        )


def _maps(activation: Tensor) -> Tensor:
    """(n, channels, ...) as (n, channels, height, width): a series as one row, a plain unit as one pixel."""
    values = activation.detach()
    if values.dtype not in (torch.float32, torch.float64):
        values = values.to(torch.float32)
    if values.ndim > 4:
        raise InputError(f"maps of shape {tuple(values.shape[2:])}; overlap needs one or two axes")
    while values.ndim < 4:
        values = values.unsqueeze(2)
    return values
