"""What a choice of filters rests on, as figures: spec ssim-kmeans-pruning, 5."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.evidence import Bars, Curve, Figure, Images, Matrix, Table
from nervure.features.silhouette import KINDS, Kind, silhouettes
from nervure.features.ssim import flatten
from nervure.features.validity import INDICES, Index
from nervure.prune.ssim.choose import ScoresByK
from nervure.prune.ssim.kmeans import STOPS, Clustering
from nervure.prune.ssim.search import LayerSearch

__all__ = [
    "beside_centroid",
    "cluster_sizes",
    "ordered_matrix",
    "silhouette_bars",
    "silhouette_curve",
    "summary",
    "validity_curve",
]

_SAID: Mapping[str, str] = {
    "dunn": "Dunn",
    "calinski_harabasz": "Calinski-Harabasz",
    "davies_bouldin": "Davies-Bouldin (least)",
}

GROUPS, MEMBERS, CHANNELS = 6, 6, 32
EDGE = 0.1  # of the numbers of clusters, at either end, where scores are too small to divide by


def silhouette_curve(name: str, found: LayerSearch, kind: Kind, chosen: Mapping[str, int]) -> Curve:
    """Score against the number of clusters, beside that of shuffled weights: spec, figures 22 to 33.

    ``chosen`` are the numbers to point at, by label, a score beside those that were tried. Shuffled
    weights are tried at fewer numbers: in between, the line is straight.
    """
    table = found.table(kind)
    lines, spreads, labels = [table.mean], [table.spread], [str(kind)]
    others: dict[str, ScoresByK] = {f"{kind}, weights shuffled": found.table(kind, null=True)}
    if kind != "distance":
        others["distance"] = found.table("distance")
    for label, other in others.items():
        if len(other.k):
            lines.append(np.interp(table.k, other.k, other.mean))
            spreads.append(np.interp(table.k, other.k, other.spread))
            labels.append(label)
    top = {label: line.max() for label, line in zip(labels, lines, strict=True)}
    alt = f"{name}, {found.n} units: mean {kind} silhouette over runs peaks at K = {table.natural} with {top[kind]:.3f}"
    if labels[1:] and "shuffled" in labels[1]:
        alt += f"; with its weights shuffled the peak is {top[labels[1]]:.3f}"
    marks = ", ".join(f"{label}: {k}{_scored(table.best_at(k))}" for label, k in chosen.items())
    alt += f"; {marks}"
    own = found.rows[~found.rows["null"]]
    begun = dict(zip(own["k"].tolist(), own["initial"].tolist(), strict=True))
    switches = [int(k) for before, k in pairwise(table.k) if begun[k] != begun[before]]
    return Curve(
        title=f"{name}: silhouette by number of clusters ({found.n} units; {marks})",
        alt=alt,
        x=table.k,
        y=np.stack(lines),
        spread=np.stack(spreads),
        labels=labels,
        marks=np.array([*chosen.values(), *switches]),
        mark_labels=[f"{label} {k}" for label, k in chosen.items()],
        x_label="clusters K",
        y_label="silhouette",
        notes={"chosen": marks, "fewer filters an initial centroid from": ", ".join(map(str, switches))},
    )


def validity_curve(name: str, found: LayerSearch) -> Curve:
    """The indices of validity against the number of clusters, each as a share of its largest mean: spec, 7.4."""
    tables = [found.table(index) for index in INDICES]
    largest = [max(float(table.mean.max()), 1e-12) for table in tables]
    best = ", ".join(f"{_SAID[index]}: {_best(index, table)[0]}" for index, table in zip(INDICES, tables, strict=True))
    return Curve(
        title=f"{name}: validity by number of clusters (best {best})",
        alt=f"{name}, {found.n} units: mean over runs as a share of its largest; best number by {best}",
        x=tables[0].k,
        y=np.stack([table.mean / most for table, most in zip(tables, largest, strict=True)]),
        spread=np.stack([table.spread / most for table, most in zip(tables, largest, strict=True)]),
        labels=[_SAID[index] for index in INDICES],
        x_label="clusters K",
        y_label="share of the largest",
        notes={"best": best},
    )


def ordered_matrix(name: str, matrix: NDArray[np.float64], labels: NDArray[np.int64], measure: str) -> Matrix:
    """Similarities with the units of a cluster side by side, clusters by size."""
    sizes = np.bincount(labels)
    order = np.lexsort((np.arange(len(labels)), labels, -sizes[labels]))
    off = matrix[~np.eye(len(matrix), dtype=bool)]
    average = f"{off.mean():.3f}" if off.size else "not defined"
    return Matrix(
        title=f"{name}: {measure} of every two units, by cluster",
        alt=f"{len(sizes)} clusters, the largest of {sizes.max()} units first; mean similarity {average}",
        values=matrix[np.ix_(order, order)].astype(np.float32),
        x_label="unit",
        y_label="unit",
    )


def beside_centroid(name: str, weight: Tensor, found: Clustering, stays: NDArray[np.bool_]) -> Images:
    """Filters of the largest clusters beside the mean of their weights; those that stay (n,) are framed."""
    images = flatten(weight.detach().float().cpu())[:, :, :CHANNELS]
    sizes = np.bincount(found.labels)
    pictures, captions, framed = [], [], []
    for cluster in np.lexsort((np.arange(found.k), -sizes))[:GROUPS]:
        members = np.flatnonzero(found.labels == cluster)
        shown = members[np.lexsort((members, -found.closeness[members], ~stays[members]))][:MEMBERS].tolist()
        pictures += [images[members].mean(0), *(images[i] for i in shown)]
        captions += [f"mean of {len(members)}", *(f"{i}" for i in shown)]
        framed += [False, *stays[shown].tolist()]
        blank = MEMBERS - len(shown)
        pictures += [torch.full_like(images[0], float(images.min()))] * blank
        captions += [""] * blank
        framed += [False] * blank
    return Images(
        title=f"{name}: filters beside the mean of their cluster",
        alt=f"the {min(found.k, GROUPS)} largest of {found.k} clusters, a row each: the mean, the filters that stay "
        f"(framed), and others; a filter is drawn as kernel positions by its first {images.shape[2]} inputs",
        pictures=_grey(torch.stack(pictures)),
        captions=captions,
        columns=MEMBERS + 1,
        framed=np.array(framed),
    )


def cluster_sizes(name: str, found: Clustering) -> Bars:
    """How many clusters there are of each size."""
    sizes = np.bincount(np.bincount(found.labels))[1:]
    return Bars(
        title=f"{name}: sizes of the {found.k} clusters",
        alt=f"{sizes[0]} of {found.k} clusters have one unit, the largest has {len(sizes)}",
        values=sizes[None],
        bars=[str(size) for size in range(1, len(sizes) + 1)],
        series=["clusters"],
        y_label="clusters",
    )


def silhouette_bars(name: str, matrix: NDArray[np.float64], labels: NDArray[np.int64], kind: Kind) -> Bars:
    """The silhouette of every unit, by cluster: the usual silhouette plot."""
    each = silhouettes(matrix, labels, kind)
    order = np.lexsort((-each, labels))
    return Bars(
        title=f"{name}: {kind} silhouette of each unit",
        alt=f"mean {each.mean():.3f}; {int((each < 0).sum())} of {len(each)} units are below zero",
        values=each[order][None],
        bars=[str(unit) for unit in order],
        series=["silhouette"],
        y_label="silhouette",
    )


def summary(name: str, found: LayerSearch, kind: Kind) -> Table:
    """The best number of clusters by each index, beside that of shuffled weights; and how clusterings ended."""
    rows: list[tuple[str | float | int | None, ...]] = []
    for one in (*KINDS, *INDICES):
        table, null = found.table(one), found.table(one, null=True)
        best, value = _best(one, table)
        shuffled = _best(one, null) if len(null.k) else (None, None)
        rows.append((_SAID.get(one, one), "used" if one == kind else "", best, value, *shuffled, _unsteady(table)))
    ends = {stop: int((found.rows["stop"] == at).sum()) for at, stop in enumerate(STOPS)}
    repaired = int((found.rows["repaired"] > 0).sum())
    return Table(
        title=f"{name}: the choice of how many clusters",
        alt=f"{len(found.rows)} clusterings; {ends}; empty clusters were filled in {repaired}",
        columns=["index", "", "best K", "score", "best K, shuffled", "score, shuffled", "largest spread / score"],
        rows=rows,
    )


def _unsteady(table: ScoresByK) -> float | None:
    """The largest share that runs vary by, ends left out."""
    edge = int(len(table.k) * EDGE)
    inner = slice(edge, len(table.k) - edge)
    mean = table.mean[inner]
    return float((table.spread[inner][mean > 0] / mean[mean > 0]).max()) if (mean > 0).any() else None


def _best(index: Kind | Index, table: ScoresByK) -> tuple[int, float]:
    """The number of clusters that is best by an index, and its mean there: the least for Davies and Bouldin's."""
    at = int(table.mean.argmin() if index == "davies_bouldin" else table.mean.argmax())
    return int(table.k[at]), float(table.mean[at])


def _scored(score: float) -> str:
    return f" ({score:.3f})" if np.isfinite(score) else ""


def _grey(images: Tensor) -> NDArray[np.uint8]:
    low, high = images.min(), images.max()
    scaled = (images - low) / (high - low).clamp_min(1e-12) * 255
    return np.asarray(scaled.round().to(torch.uint8).unsqueeze(1).numpy())


def figures(
    name: str,
    weight: Tensor,
    found: LayerSearch,
    best: Clustering,
    matrix: NDArray[np.float64],
    kind: Kind,
    measure: str,
    stays: NDArray[np.bool_],
) -> tuple[Figure, ...]:
    """All figures of one layer whose filters ``stays`` (n,) are kept: of its search, and of the clustering ``best``.

    >>> from nervure.prune.ssim.methods import SSIMKMeans
    >>> from nervure.prune.ssim.search import job_of, search_layer
    >>> weight = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> layer = SSIMKMeans().prepare(weight)
    >>> found, best = search_layer("c", weight, SSIMKMeans(), "quick"), layer.cluster([job_of(0, "c", 4, 0)])[0]
    >>> stays = np.isin(np.arange(8), best.representatives())
    >>> [figure.kind for figure in figures("c", weight, found, best, layer.matrix, "distance", "SSIM", stays)]
    ['curve', 'table', 'curve', 'matrix', 'images', 'bars', 'bars']
    """
    own = () if not len(found.rows) else (
        silhouette_curve(name, found, kind, {"best": found.natural(kind), "kept": int(stays.sum())}),
        summary(name, found, kind),
        validity_curve(name, found),
    )  # fmt: skip
    bars = (silhouette_bars(name, matrix, best.labels, kind),) if best.k > 1 else ()
    return (
        *own,
        ordered_matrix(name, matrix, best.labels, measure),
        beside_centroid(name, weight, best, stays),
        cluster_sizes(name, best),
        *bars,
    )
