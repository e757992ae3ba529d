"""The series of each cluster as one: their mean over time, with a band of one standard deviation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nervure.cluster.figures.view import View
from nervure.evidence import Curve, Figure

__all__ = ["band", "left", "means", "recording", "variates"]

TOGETHER = 4
VARIATES = 3
LINES = 12


def band(
    x: NDArray[np.generic], seen: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (time,) of series (n, time) over those that are seen; NaN where none is.

    >>> mean, spread = band(np.array([[0.0, 5.0], [2.0, 9.0]]), np.array([[True, False], [True, True]]))
    >>> mean.tolist(), spread.tolist()
    ([1.0, 9.0], [1.0, 0.0])
    """
    wide = np.asarray(x, dtype=np.float64)
    there = np.ones(wide.shape, dtype=bool) if seen is None else seen
    count = there.sum(axis=0)
    safe = np.maximum(count, 1)
    mean = np.where(there, wide, 0.0).sum(axis=0) / safe
    spread = np.sqrt(np.where(there, np.square(wide - mean), 0.0).sum(axis=0) / safe)
    return np.where(count > 0, mean, np.nan), np.where(count > 0, spread, np.nan)


def means(view: View) -> dict[str, Figure]:
    """A figure for each variate, up to three, and every four clusters: stored values, not what the network reads."""
    if view.ds.kind != "series":
        return {}
    there = [one for one in range(view.count) if (view.clusters == one).any()]
    groups = [there[start : start + TOGETHER] for start in range(0, len(there), TOGETHER)]
    return {
        f"series-{variate}-{number}": _curve(view, group, variate, part)
        for variate, part in variates(view)
        for number, group in enumerate(groups)
    }


def variates(view: View) -> list[tuple[int, str]]:
    """The variates that are drawn, three at most, each with what a title says of it: nothing where it is alone."""
    whole = view.ds.in_shape[0]
    return [(one, f", {view.ds.column(one)}{left(view)}" if whole > 1 else "") for one in range(min(VARIATES, whole))]


def left(view: View) -> str:
    """What a title says where some variates are not drawn."""
    whole = view.ds.in_shape[0]
    return f" ({VARIATES} of {whole} variates are drawn)" if whole > VARIATES else ""


def _curve(view: View, group: list[int], variate: int, part: str) -> Curve:
    lines, spreads, names = [], [], []
    for cluster in group:
        at = view.at[view.some[view.clusters[view.some] == cluster]]
        if not len(at):
            at = view.at[view.clusters == cluster]
        mean, spread = band(view.ds.x[at][:, variate], None if view.ds.mask is None else view.ds.mask[at])
        lines.append(mean)
        spreads.append(spread)
        names.append(f"cluster {cluster} ({int((view.clusters == cluster).sum())})")
    return Curve(
        title=f"Series by cluster: mean and one standard deviation{part}{view.looked}",
        alt=f"Mean over time of the series in {', '.join(names)}{part}, with a band of one standard deviation.",
        x=np.arange(view.ds.in_shape[-1]),
        y=np.stack(lines),
        spread=np.stack(spreads),
        labels=names,
        x_label="time step",
        y_label="stored value",
    )


def recording(view: View) -> dict[str, Figure]:
    """All variates of the surest series, up to twelve, as stored."""
    count, steps = view.ds.in_shape[0], view.ds.in_shape[-1]
    if view.ds.kind != "series" or count < 2:
        return {}
    row = int(view.sure.argmax())
    at = int(view.at[row])
    lines = np.asarray(view.ds.x[at][:LINES], dtype=np.float64)
    if view.ds.mask is not None:
        lines = np.where(view.ds.mask[at], lines, np.nan)
    return {
        "series-recording": Curve(
            title=f"{'All' if len(lines) == count else f'{len(lines)} of {count}'} variates of {view.called(row)}",
            alt=f"{len(lines)} of {count} variates of the series that is surest of its cluster, {view.clusters[row]}"
            f"{view.looked}.",
            x=np.arange(steps),
            y=lines,
            labels=[view.ds.column(one) for one in range(len(lines))],
            x_label="time step",
            y_label="stored value",
        )
    }
