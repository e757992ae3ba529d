"""Figures of masks and of what they rest on (spec isparse, 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.evidence import Bars, Curve, Images, Matrix, Table
from nervure.judge import Samples
from nervure.registry import nearest
from nervure.sparsify.criteria.final import Initial, final_scores, responses
from nervure.sparsify.criteria.isparse import edge_scores
from nervure.sparsify.layers import prunable, weight_of
from nervure.sparsify.mask import Mask
from nervure.sparsify.masked import bake
from nervure.sparsify.samples import drawn
from nervure.sparsify.select import highest

__all__ = ["agreement", "initial_scores", "mask_pictures", "sparsity_bars", "toy", "weight_histograms"]

_KEPT, _REMOVED, _ADDED, _LOST, _GAP = (
    (235, 235, 235), (40, 40, 40), (60, 160, 75), (205, 60, 50), (140, 160, 190),
)  # fmt: skip


def weight_histograms(net: nn.Module, bins: int = 61) -> Curve:
    """Weights of each layer as shares in bins around zero, of a masked network those that it uses (figure 4.2).

    >>> weight_histograms(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))).y.sum(1).round(6)
    array([1., 1.])
    """
    weights = {
        name: weight_of(module).detach().cpu().double().numpy().ravel() for name, module in prunable(bake(net)).items()
    }
    reach = max((float(np.abs(one).max()) for one in weights.values() if one.size), default=0.0) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    counts = [np.histogram(one, edges)[0] / max(1, one.size) for one in weights.values()]
    return Curve(
        title="Weights by layer",
        alt=f"Shares of weights in {bins} bins from {-reach:.3g} to {reach:.3g}, a line a layer of {len(weights)}.",
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,  # type: ignore[arg-type]
        labels=tuple(weights),
        x_label="weight",
        y_label="share of the layer's weights",
    )


def sparsity_bars(masks: Mapping[str, Mask]) -> Bars:
    """Share of edges that go by layer, for several masks of one network.

    >>> net = nn.Sequential(nn.Linear(2, 1))
    >>> sparsity_bars({"half": Mask.for_net(net, {"0": torch.tensor([[True, False]])})}).values
    array([[0.5]])
    """
    first = next(iter(masks.values()))
    layers = [row.layer for row in first.rows]
    found = {name: {row.layer: row.sparsity for row in one.rows} for name, one in masks.items()}
    return Bars(
        title="Sparsity by layer",
        alt="; ".join(f"{name} removes {one.sparsity:.1%}" for name, one in masks.items()),
        values=[[rows.get(layer, 0.0) for layer in layers] for rows in found.values()],  # type: ignore[arg-type]
        bars=layers,
        series=tuple(masks),
        y_label="share of edges",
    )


def agreement(masks: Mapping[str, Mask]) -> Matrix:
    """Share of edges on which masks of one network agree, each with each.

    >>> net = nn.Sequential(nn.Linear(2, 1))
    >>> one, two = (Mask.for_net(net, {"0": torch.tensor([bits])}) for bits in ([True, False], [True, True]))
    >>> agreement({"one": one, "two": two}).values
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    values = np.array([[one.compare(other).whole for other in masks.values()] for one in masks.values()])
    apart = values[~np.eye(len(values), dtype=bool)]
    said = f"from {apart.min():.1%} to {apart.max():.1%}" if apart.size else "with itself alone"
    return Matrix(
        title="Agreement of masks",
        alt=f"Masks agree {said} of the edges.",
        values=values,
        rows=tuple(masks),
        columns=tuple(masks),
    )


def initial_scores(
    net: nn.Module,
    ds: Dataset,
    initial: Sequence[Initial] = ("inf-fs", "pca", "identity"),
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Bars:
    """Scores of the outputs by what they are taken from, each of sum 1.

    >>> import nervure as nv
    >>> ds = nv.data.load("digits")
    >>> initial_scores(nv.nets.build("mlp", ds), ds, ["identity"]).values[0, 0].round(6)
    np.float64(0.1)
    """
    at = drawn(ds, samples, seed)
    batches = Samples(ds, at, 256, [ds.batch(at[:1]).x])
    seen = responses(net, batches, samples, softmax=ds.task == "classification")[0]
    scores = [final_scores(seen, one) for one in initial]
    shares = np.stack([(one / one.sum()).numpy() for one in scores])
    names = getattr(net, "names", ds.names)  # a clusterer's outputs are its clusters, whatever classes the data has
    if len(names) != shares.shape[1]:
        names = tuple(str(one) for one in range(shares.shape[1]))
    spans = [f"{name} {one.max() / one.min():.3g}" for name, one in zip(initial, shares, strict=True)]
    return Bars(
        title="Scores of the outputs",
        alt=f"Largest over smallest score: {', '.join(spans)}.",
        values=shares,
        bars=names,
        series=tuple(initial),
        y_label="share of all scores",
    )


def mask_pictures(
    masks: Mapping[str, Mask],
    layer: str,
    against: str | None = "magnitude",
    scale: int = 3,
    across: bool = False,
) -> Images:
    """One layer's mask in pictures, a panel a mask: dark is removed (figure 4.9).

    Kernels stand in a grid, a row a unit and a column an input, or with ``across`` a column a unit and the panels below
    each other; a linear layer is one picture. Where a panel differs from the mask called ``against``, edges that it
    keeps and that one removes are green, the reverse red.

    >>> net = nn.Sequential(nn.Conv2d(2, 3, 3))
    >>> mask = Mask.for_net(net, {"0": torch.ones(3, 2, 3, 3) > 0})
    >>> mask_pictures({"all": mask}, "0", scale=1).pictures.shape
    (1, 3, 13, 9)
    """
    panels, captions = [], []
    base = masks.get(against) if against is not None else None
    for name, mask in masks.items():
        if layer not in mask.masks:
            raise InputError(f"unknown layer {layer!r}; {nearest(layer, tuple(mask.masks))}")
        bits = mask.masks[layer].numpy()
        other = bits if base is None else base.masks[layer].numpy()
        panels.append(_panel(bits, other, scale, across))
        alike = "" if base is None or mask is base else f", {np.mean(bits == other):.1%} as {against}"
        captions.append(f"{name}{alike}")
    differ = "" if base is None or len(masks) < 2 else f"; green: kept here and not by {against}; red: the reverse"
    return Images(
        title=f"Masks of {layer} (dark: removed{differ})",
        alt=f"Removed edges of {layer} in dark: {'; '.join(captions)}.",
        pictures=np.stack(panels),
        captions=captions,
        columns=1 if across else min(4, len(panels)),
    )


def _panel(bits: NDArray[np.bool_], other: NDArray[np.bool_], scale: int, across: bool) -> NDArray[np.uint8]:
    """(3, height, width) colours of one mask."""
    if across:
        bits, other = (one.swapaxes(0, 1) for one in (bits, other))
    kinds = np.select([bits & other, bits & ~other, ~bits & other], [0, 2, 3], default=1)
    palette = np.array([_KEPT, _REMOVED, _ADDED, _LOST, _GAP], dtype=np.uint8)
    if kinds.ndim == 2:
        grid = kinds
    else:
        tiles = kinds.reshape(*kinds.shape[:2], kinds.shape[2] if kinds.ndim > 3 else 1, -1)
        units, inputs, height, width = tiles.shape
        grid = np.full((units * (height + 1) + 1, inputs * (width + 1) + 1), 4)
        for unit in range(units):
            for one in range(inputs):
                top, left = unit * (height + 1) + 1, one * (width + 1) + 1
                grid[top : top + height, left : left + width] = tiles[unit, one]
    colours = palette[grid].repeat(scale, 0).repeat(scale, 1)
    return np.ascontiguousarray(colours.transpose(2, 0, 1))


def toy() -> Table:
    """The worked example of spec isparse, 2.6: two layers at a sparsity of one half, edge by edge (figure 4.4).

    >>> [row[5:] for row in toy().rows if row[0] == 1]
    [(True, False), (True, True), (False, True), (False, False)]
    """
    weights = {1: torch.tensor([[1.0, -2.0], [3.0, 0.5]]), 2: torch.tensor([[0.5, -1.0], [2.0, 0.1]])}
    units: dict[int, Tensor] = {2: torch.tensor([1.0, 2.0])}
    units[1] = weights[2].abs().T @ units[2]
    rows: list[tuple[str | int | float, ...]] = []
    for layer, weight in weights.items():
        scores = edge_scores(weight.abs(), units[layer]) * units[layer].max()
        ours, plain = highest(scores, 2), highest(weight.abs(), 2)
        rows += [
            (
                layer,
                i,
                o,
                round(float(weight[o, i]), 6),
                round(float(scores[o, i]), 6),
                bool(ours[o, i]),
                bool(plain[o, i]),
            )
            for o in range(2)
            for i in range(2)
        ]
    return Table(
        title="Two layers by hand",
        alt="At a sparsity of one half iSparse keeps 1 and -2 of the first layer, magnitude -2 and 3.",
        columns=("layer", "from", "to", "weight", "score", "kept by isparse", "kept by magnitude"),
        rows=rows,
    )
