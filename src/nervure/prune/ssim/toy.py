"""K-means on points in the plane, step by step: spec ssim-kmeans-pruning, 5 (figures 15, 18, 19 and 21 of the thesis).

Each point is a filter of two weights; similarity falls with squared distance, which can be seen, as SSIM cannot.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nervure.evidence import Figure, Scatter, Table
from nervure.features.ssim import Filters, Measure
from nervure.prune.ssim.figures import silhouette_bars
from nervure.prune.ssim.initial import Indices, drawn, initial_groups
from nervure.prune.ssim.kmeans import Memory, kmeans

__all__ = ["METHOD", "in_the_plane", "method"]

CENTRES = ((-2.0, 0.0), (1.5, 1.5), (1.0, -2.0))
EACH, SPREAD, BEGIN = 8, 0.6, 3

METHOD = (
    ("look", "each filter of the layer as an image: its kernels in columns"),
    ("compare", "SSIM of every two filters"),
    ("begin", "for each number of clusters K and each run, K filters, each with those most like it"),
    ("assign", "each filter to the centroid it is most like"),
    ("update", "each centroid becomes the mean of its filters; assign again until none moves"),
    ("judge", "the silhouette of each clustering, beside that of shuffled weights"),
    ("choose", "the K of the highest mean silhouette, or the number to keep"),
    ("represent", "of each cluster the filter most like its centroid stays"),
    ("cut", "the other filters go, with what the next layer reads of them; then the network is trained on"),
)


def method() -> Table:
    """The steps from a layer to its kept filters, in order.

    >>> [row[1] for row in method().rows][:3]
    ['look', 'compare', 'begin']
    """
    rows = [(at, *step) for at, step in enumerate(METHOD, start=1)]
    return Table(
        title="From a layer to the filters that stay",
        alt=f"{len(rows)} steps, from {METHOD[0][0]} to {METHOD[-1][0]}",
        columns=["", "step", "what happens"],
        rows=rows,
    )


def in_the_plane(seed: int = 0) -> tuple[Figure, ...]:
    """Begin, assign, update, assign again, and the silhouettes of what came out.

    Parameters
    ----------
    seed : int
        Draws the points and the first filters.

    Examples
    --------
    >>> [figure.kind for figure in in_the_plane()]
    ['scatter', 'scatter', 'scatter', 'scatter', 'bars']
    """
    k = len(CENTRES)
    random = torch.Generator().manual_seed(seed)
    points = torch.tensor(CENTRES).repeat_interleave(EACH, dim=0) + SPREAD * torch.randn(k * EACH, 2, generator=random)
    layer = Filters(points, Measure(similarity="mse"))
    matrix = Memory(layer).matrix
    seeds = drawn(matrix, k, seed, "multi-point")
    groups = initial_groups(seeds, np.argsort(-matrix, axis=1, kind="stable"), BEGIN)
    taken = np.full(len(points), -1)
    for number, group in enumerate(groups):
        taken[group] = number
    first = layer.with_means(groups).argmax(axis=0)
    moved = [np.flatnonzero(first == number) for number in range(k)]
    moved = [own if len(own) else group for own, group in zip(moved, groups, strict=True)]
    found = kmeans(layer, k, seed=seed, initial=BEGIN)
    return (
        _picture("Begin: each centroid is the mean of a filter and the two most like it", layer, taken, groups),
        _picture("Assign: each filter to the centroid it is most like", layer, first, groups),
        _picture("Update: each centroid becomes the mean of its filters", layer, first, moved),
        _picture(
            f"After {found.rounds} rounds no filter moves", layer, found.labels,
            [np.flatnonzero(found.labels == number) for number in range(k)],
        ),
        silhouette_bars("points in the plane", layer.matrix, found.labels, "distance"),
    )  # fmt: skip


def _picture(title: str, layer: Filters, labels: Indices, groups: Sequence[Indices]) -> Scatter:
    """Filters by cluster, those of none (-1) too, and the centroids of ``groups``."""
    centres = layer.means(groups)
    k, left = len(groups), labels < 0
    return Scatter(
        title=title,
        alt=f"{layer.n} filters of two weights; {k} centroids have {np.bincount(labels[~left]).tolist()} of them",
        points=torch.cat([layer.values, centres]).numpy(),
        groups=np.concatenate([np.where(left, k + 1, labels), np.full(k, k)]),
        labels=[*(f"cluster {number}" for number in range(k)), "centroids", *(["in none yet"] if left.any() else [])],
        x_label="first weight",
        y_label="second weight",
    )
