"""What a clustering of a split is like: sizes, certainty, and agreement with labels where they are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from nervure.data.dataset import Dataset, Indices
from nervure.evidence import Bars, Figure, Matrix
from nervure.features import agreement

__all__ = ["clustering"]


def clustering(
    logs: NDArray[np.float32], ds: Dataset, at: Indices, names: tuple[str, ...] = ()
) -> tuple[dict[str, float], dict[str, Figure]]:
    """Measures and figures of log-probabilities (n, clusters) of the samples at ``at``.

    Labels that are called what the clusters are, ``names``, were given by a clusterer: then ``accuracy`` is the share
    of samples in the same cluster as there, and nothing is matched. Other labels are matched to clusters first.

    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1]), validation=0, test=0)
    >>> values, _ = clustering(np.log(np.eye(2, dtype=np.float32)[[1, 1, 0, 0]] + 1e-9), ds, np.arange(4))
    >>> values["acc"], values["clusters"]
    (1.0, 2.0)
    """
    count = logs.shape[1]
    chosen = logs.argmax(axis=1)
    sizes = np.bincount(chosen, minlength=count)
    values = {
        "clusters": float((sizes > 0).sum()),
        "effective_clusters": agreement.effective_number(sizes),
        "confidence": float(softmax(logs.astype(np.float64), axis=1).max(axis=1).mean()),
    }
    order = np.argsort(-sizes, kind="stable")
    figures: dict[str, Figure] = {
        "sizes": Bars(
            title="Cluster sizes",
            alt=f"Members of {count} clusters, from {sizes.max()} down to {sizes.min()}.",
            values=sizes[order][None],
            bars=[f"cluster {one}" for one in order],
            series=("samples",),
            y_label="samples",
        )
    }
    if ds.task == "classification" and ds.y is not None:
        labels = ds.y[at].astype(np.int64)
        known = labels >= 0
        if known.any() and names == ds.names:
            values = {"accuracy": float((labels[known] == chosen[known]).mean()), **values}
        elif known.any():
            values |= _against(labels[known], chosen[known])
            figures["matched"] = _matched(labels[known], chosen[known], ds.names)
    return values, figures


def _against(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> dict[str, float]:
    return {
        "acc": agreement.matched_accuracy(labels, chosen),
        "nmi": agreement.normalised_mutual_information(labels, chosen),
        "ari": agreement.adjusted_rand(labels, chosen),
        "purity": agreement.purity(labels, chosen),
    }


def _matched(labels: NDArray[np.int64], chosen: NDArray[np.int64], names: tuple[str, ...]) -> Matrix:
    """Labels against clusters, each cluster in the column of the label that it is matched to."""
    found = agreement.confusion_after_matching(labels, chosen)
    right = agreement.matched_accuracy(labels, chosen)
    return Matrix(
        title="Labels against clusters",
        alt=f"Counts of {len(labels)} samples by label and matched cluster; {100 * right:.1f} % lie on the diagonal.",
        values=found.counts,
        rows=[names[one] for one in found.classes],
        columns=[f"cluster {one}" if one >= 0 else "none" for one in found.clusters],
        x_label="cluster, matched",
        y_label="label",
        counts=True,
    )
