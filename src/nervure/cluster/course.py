"""How good a clustering is at each epoch without a look at labels, and the epoch after which it gets no better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from nervure.errors import InputError
from nervure.evidence import Curve
from nervure.store.run import Run

__all__ = ["course", "last_gain", "noise", "quality", "stop_epoch"]

LEAST = 1e-3
"""Gains up to here are noise in any case: the share of samples that may change at the end of training."""

Values = NDArray[np.float64]


def quality(run: Run) -> Curve:
    """The label-free measures of a clusterer's run, an epoch each.

    ``settled`` is the share of samples that kept their cluster, ``confidence`` the mean probability of the chosen
    one, ``evenness`` the effective number of clusters as a share of those that live; ``quality`` is their product,
    which is high only where samples are sure, stay, and fill all clusters. Where latents of epochs were kept
    (``snapshots``), ``silhouette`` is that of k-means groups of these. Inertia or likelihood, in their own units, are
    in ``data`` alone.

    Examples
    --------
    >>> import nervure as nv
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> run = nv.cluster.DCAEKMeans(2, epochs=5, random_state=0).fit_run(x)
    >>> quality(run).labels
    ('quality', 'settled', 'confidence', 'evenness')
    """
    epochs, parts = _parts(run)
    lines = {"quality": course(parts), **parts}
    if (heights := _silhouettes(run, epochs)) is not None:
        lines["silhouette"] = heights
    own = {name: _column(run, name, epochs) for name in ("inertia", "log_likelihood")}
    stop = stop_epoch(run) if len(epochs) > 2 else int(epochs[-1])
    return Curve(
        title=f"Quality without labels: no better after epoch {stop}",
        alt=f"From epoch {epochs[0]} to {epochs[-1]}: the share of samples that kept their cluster, their confidence, "
        f"how even the clusters are, and the product of these, which ends at {lines['quality'][-1]:.2f} and gains no "
        f"more than its noise after epoch {stop}.",
        x=epochs,
        y=np.stack(list(lines.values())),
        labels=list(lines),
        x_label="epoch",
        data={name: values for name, values in own.items() if np.isfinite(values).any()},
    )


def stop_epoch(run: Run) -> int:
    """The first epoch after which the label-free quality gains no more than its noise.

    The rule: the quality is that of :func:`quality`, as a running median over five epochs; its noise is the standard
    deviation of a single epoch's value (about two of such a median's), estimated by the median absolute second
    difference, and at least 0.001. The epoch is the first one that no later one exceeds by more than that. Labels are
    not looked at, also where the history has measures made with them.

    Examples
    --------
    >>> import nervure as nv
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> run = nv.cluster.DCAEKMeans(2, epochs=8, patience=0, random_state=0).fit_run(x)
    >>> 1 <= stop_epoch(run) <= 8
    True
    """
    epochs, parts = _parts(run)
    if len(epochs) < 3:
        raise InputError("its clusters were looked at in fewer than three epochs; there is no course to stop in")
    return int(epochs[last_gain(course(parts))])


def course(parts: Mapping[str, Values]) -> Values:
    """The product of measures between 0 and 1: (epochs,).

    >>> course({"settled": np.array([0.5, 1.0]), "confidence": np.array([0.5, 0.5])}).tolist()
    [0.25, 0.5]
    """
    return np.asarray(np.prod(np.stack(list(parts.values())), axis=0))


def noise(values: Values) -> float:
    """The standard deviation of single values about a smooth course (n,), by the median absolute second difference.

    >>> noise(np.arange(9.0)), round(noise(np.array([0.0, 1, 0, 1, 0, 1])), 3)
    (0.0, 1.211)
    """
    bends = np.abs(np.diff(values, n=2))
    return float(1.4826 * np.median(bends) / 6**0.5) if len(bends) else 0.0


def last_gain(values: Values) -> int:
    """The first place whose running median no later one exceeds by more than the noise.

    >>> last_gain(np.array([0.1, 0.3, 0.5, 0.8, 0.8, 0.8, 0.8, 0.8])), last_gain(np.array([0.0, 0.8, 0.8, 0.8]))
    (3, 1)
    """
    smooth = np.array([np.median(values[max(0, at - 2) : at + 3]) for at in range(len(values))])
    smooth[:2] = np.minimum(smooth[:2], values[:2])  # the first medians look ahead more than back
    best_from = np.maximum.accumulate(smooth[::-1])[::-1]
    return int(np.flatnonzero(best_from - smooth <= max(LEAST, noise(values)))[0])


def _parts(run: Run) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """Epochs that looked at clusters, and the measures that the quality is made of, each between 0 and 1."""
    rows = [(at, row) for at, row in enumerate(run.history, 1) if row.get("confidence") is not None]
    if not rows:
        raise InputError("this run's history has no clusters in it; quality is of a clusterer's run")
    epochs = np.array([int(row.get("epoch") or at) for at, row in rows])
    head = getattr(run.net, "head", None)
    alive = getattr(head, "alive", None)
    count = int(alive.sum()) if isinstance(alive, torch.Tensor) else int(getattr(head, "clusters", 1))
    return epochs, {
        "settled": 1 - _column(run, "changed", epochs),
        "confidence": _column(run, "confidence", epochs),
        "evenness": np.minimum(1.0, _column(run, "effective_clusters", epochs) / max(1, count)),
    }


def _column(run: Run, name: str, epochs: NDArray[np.int64]) -> Values:
    """One measure of the history at these epochs; NaN where it was not measured."""
    found = {int(row.get("epoch") or at): row.get(name) for at, row in enumerate(run.history, 1)}
    values = [found[int(epoch)] for epoch in epochs]
    return np.array([np.nan if value is None else float(value) for value in values])


def _silhouettes(run: Run, epochs: NDArray[np.int64]) -> Values | None:
    """The mean silhouette of k-means groups of the latents that were kept of epochs; NaN between; None if of none."""
    from sklearn.metrics import silhouette_score

    from nervure.cluster import lloyd

    used = _column(run, "clusters", epochs)
    found = np.full(len(epochs), np.nan)
    for at, epoch in enumerate(epochs):
        figure = run.evidence.get(f"snapshot-{epoch}")
        if figure is None or not 2 <= used[at] < len(figure.data["latents"]):
            continue
        latents = torch.from_numpy(np.asarray(figure.data["latents"], dtype=np.float64))
        chosen = lloyd.nearest(latents, lloyd.full(latents, int(used[at]), 0, starts=3))[0].numpy()
        if len(np.unique(chosen)) > 1:
            found[at] = silhouette_score(latents.numpy(), chosen)
    return found if np.isfinite(found).any() else None
