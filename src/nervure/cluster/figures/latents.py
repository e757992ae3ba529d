"""The latent space: in the plane by t-SNE, at chosen epochs, and as a map of samples by units."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nervure.cluster.figures.pictures import thumbnails
from nervure.cluster.figures.view import View
from nervure.data.dataset import Indices
from nervure.evidence import Figure, Matrix, Scatter

__all__ = ["SNAPSHOT", "evenly", "heat", "in_plane", "latents", "samples", "snapshots"]

PERPLEXITY = 30
STEPS = 500
SNAPSHOT = 1000
HEAT = 400


def in_plane(points: NDArray[np.floating], seed: int = 0) -> NDArray[np.float32]:
    """Points (n, d) in the plane (n, 2): by t-SNE of perplexity 30 from principal components; as they are if d is 2.

    >>> in_plane(np.eye(3)[:, :2]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    wide = np.asarray(points, dtype=np.float32)
    if wide.shape[1] == 2:
        return wide
    if wide.shape[1] == 1 or len(wide) < 5 or not np.ptp(wide, axis=0).any():
        return np.concatenate([wide, np.zeros_like(wide)], axis=1)[:, :2]
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(wide) - 1) / 3)
    # the start, and so the result, must not hang on the scale of the latents
    wide = wide / max(float(wide.std()), 1e-12)
    with threadpool_limits(1):  # sums in one order give the same picture on every machine, and hardly later
        plane = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, max_iter=STEPS, n_jobs=1)
        made = plane.fit_transform(wide)
    return np.asarray(made, dtype=np.float32)


def evenly(rows: Indices, most: int) -> Indices:
    """At most so many of the rows, from all over.

    >>> evenly(np.arange(9), 3).tolist()
    [0, 4, 8]
    """
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def latents(view: View) -> dict[str, Figure]:
    """The drawn samples in the plane: coloured by cluster, and by label where labels are known.

    A cluster has the colour of the label that it is matched to, and the name of the one that most of its members have.
    """
    rows = view.some
    points = in_plane(view.space[rows], view.seed)
    x, mask = view.samples(rows)
    pictures, places = thumbnails(view.ds, x, mask), {"samples": view.at[rows]}
    order = _order(view)
    place = np.zeros(view.count, dtype=np.int64)
    place[order[order >= 0]] = np.flatnonzero(order >= 0)
    how = "t-SNE" if view.space.shape[1] != 2 else "The two latents"
    found: dict[str, Figure] = {
        "latents-by-cluster": Scatter(
            title="Latent space, by cluster",
            alt=f"{how} of {len(rows)} samples, coloured by the cluster that they were put into.",
            groups=place[view.clusters[rows]],
            labels=["" if cluster < 0 else _named(view, cluster) for cluster in order],
            hover=[_words(view, row, label=True) for row in rows],
            points=points,
            thumbnails=pictures,
            data=places,
        )
    }
    if view.labels is not None:
        found["latents-by-label"] = Scatter(
            title="Latent space, by label",
            alt=f"The same {len(rows)} places, coloured by the label that the data has; labels were not learnt from "
            "unless the run's settings say so.",
            groups=view.labels[rows],
            labels=view.ds.names,
            hover=[f"cluster {view.clusters[row]}\n{_words(view, row)}" for row in rows],
            points=points,
            thumbnails=pictures,
            data=places,
        )
    return found


def samples(view: View) -> dict[str, Figure]:
    """The drawn samples as the network reads them, in the plane: what the latent space is to be held against."""
    rows = evenly(view.some, SNAPSHOT)
    x, mask = view.samples(rows)
    if x[0].numel() <= 2:
        return {}
    groups, labels, by = _colours(view, view.at[rows])
    return {
        "samples-in-plane": Scatter(
            title="Samples as they are",
            alt=f"t-SNE of {len(rows)} samples without any network, coloured by {by}.",
            groups=groups,
            labels=labels,
            hover=[_words(view, row, label=True) for row in rows],
            points=in_plane(x.flatten(1).numpy(), view.seed),
            thumbnails=thumbnails(view.ds, x, mask),
            data={"samples": view.at[rows]},
        )
    }


def _order(view: View) -> NDArray[np.int64]:
    """Clusters in the order of the labels that they are matched to, then the rest; -1 for a label without a cluster."""
    if view.labels is None:
        return np.arange(view.count)
    place = {label: cluster for cluster, label in view.matching.items()}
    free = iter(cluster for cluster in range(view.count) if cluster not in view.matching)
    named = [place.get(label, -1) for label in range(len(view.ds.names))]
    order = [next(free, -1) if cluster < 0 else cluster for cluster in named]
    return np.array([*order, *free], dtype=np.int64)


def _named(view: View, cluster: int) -> str:
    """A cluster with its members' commonest label, where any of their labels are known."""
    found = view.commonest(int(cluster))
    return f"cluster {cluster}" + ("" if found is None else f" ({view.ds.names[found[0]]})")


def _words(view: View, row: int, label: bool = False) -> str:
    said = [view.called(row), f"probability {view.sure[row]:.2f}"]
    if label and view.label(row):
        said.insert(1, f"label {view.label(row)}")
    if view.ds.kind == "table":
        values = view.ds.x[int(view.at[row])][:6]
        said.append(", ".join(f"{float(value):.4g}" for value in values) + (" …" if view.ds.in_shape[0] > 6 else ""))
    return "\n".join(said)


def snapshots(view: View) -> dict[str, Figure]:
    """The latents that were kept on the way, in the plane as those of the end, coloured by label or final cluster."""
    found: dict[str, Figure] = {}
    for name, figure in view.run.evidence.items():
        if not isinstance(figure, Scatter) or not {"latents", "samples"} <= set(figure.data):
            continue
        samples = np.asarray(figure.data["samples"], dtype=np.int64)
        kept = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), SNAPSHOT)).round().astype(np.int64))
        groups, labels, by = _colours(view, samples[kept])
        found[name] = dataclasses.replace(
            figure,
            alt=f"t-SNE of {len(kept)} latents, coloured by {by}.",
            points=in_plane(np.asarray(figure.data["latents"], dtype=np.float32)[kept], view.seed),
            groups=groups,
            labels=labels,
            data={"latents": figure.data["latents"][kept], "samples": samples[kept]},
        )
    return found


def _colours(view: View, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...], str]:
    """Groups of samples at these positions: their labels, or else the clusters that they are in at the end."""
    if view.labels is not None and view.ds.y is not None:
        return view.ds.y[samples].astype(np.int64), view.ds.names, "label"
    final = np.full(len(view.ds), -1, dtype=np.int64)
    final[view.at] = view.clusters
    return final[samples], view.net.names, "the cluster that they are in at the end"


def heat(view: View) -> dict[str, Figure]:
    """Latent units by samples, sorted by cluster and within by probability; each unit over its largest magnitude."""
    rows = evenly(view.some, HEAT)
    rows = rows[np.lexsort((-view.sure[rows], view.clusters[rows]))]
    values = view.latents[rows].T.astype(np.float64)
    values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12)
    there, first = np.unique(view.clusters[rows], return_index=True)
    return {
        "latents-map": Matrix(
            title="Latents of samples, sorted by cluster",
            alt=f"{values.shape[0]} latent units of {len(rows)} samples in {len(there)} clusters; each unit is shown "
            "as a share of its largest magnitude.",
            values=values,
            rows=[f"unit {one}" for one in range(len(values))],
            columns=[f"cluster {view.clusters[row]}" for row in rows],
            x_label=f"samples, from cluster {there[0]} to cluster {there[-1]}",
            y_label="unit",
            data={"samples": view.at[rows], "first": first},
        )
    }
