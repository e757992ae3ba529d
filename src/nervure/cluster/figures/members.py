"""The members of each cluster that are nearest to its middle, and those farthest from it."""

from __future__ import annotations

import numpy as np

from nervure.cluster.figures.pictures import gaps, thumbnails
from nervure.cluster.figures.view import View
from nervure.data.dataset import Indices
from nervure.evidence import Figure, Images, Table

__all__ = ["members", "ranked"]

EACH = 10
FEATURES = 6


def ranked(view: View, cluster: int, count: int, *, far: bool = False) -> Indices:
    """Rows of a cluster's members, the nearest to its middle first; or the farthest first."""
    mine = np.flatnonzero(view.clusters == cluster)
    order = np.argsort(view.closeness[mine] * (1 if far else -1), kind="stable")
    return np.asarray(mine[order[:count]])


def members(view: View) -> dict[str, Figure]:
    """Pictures of the nearest and the farthest members, a row a cluster; of tables their features."""
    found: dict[str, Figure] = {}
    there = [one for one in range(view.count) if (view.clusters == one).any()]
    for name, far in (("nearest", False), ("farthest", True)):
        rows = [ranked(view, one, EACH, far=far) for one in there]
        at = np.concatenate(rows)
        if view.ds.kind == "table":
            found[f"members-{name}"] = _table(view, [row[:3] for row in rows], name)
            continue
        pictures = thumbnails(view.ds, *view.samples(at))
        assert pictures is not None
        captions = [view.label(row) or f"{view.sure[row]:.2f}" for row in at]
        columns = max(map(len, rows))
        padded = gaps(pictures, captions, columns, [len(row) for row in rows])
        for number, one in enumerate(there):
            captions[number * columns] = f"{one}: {captions[number * columns]}"
        what = "label" if view.labels is not None else "probability"
        found[f"members-{name}"] = Images(
            title=f"The {name} members of each cluster{view.looked}",
            alt=f"Up to {columns} members {name} to the middle of each of {len(there)} clusters, a row a cluster, "
            f"with their {what}.",
            pictures=padded,
            captions=captions,
            columns=columns,
            framed=_strangers(view, rows, columns),
        )
    return found


def _strangers(view: View, rows: list[Indices], columns: int) -> np.ndarray | None:
    """Which of the pictures have another label than most of their cluster's members."""
    if view.labels is None:
        return None
    marks = np.zeros((len(rows), columns), dtype=bool)
    for number, row in enumerate(rows):
        if (found := view.commonest(int(view.clusters[row[0]]))) is not None:
            marks[number, : len(row)] = (view.labels[row] >= 0) & (view.labels[row] != found[0])
    return np.asarray(marks.ravel())


def _table(view: View, rows: list[Indices], name: str) -> Table:
    shown = min(FEATURES, view.ds.in_shape[0])
    lines: list[tuple[str | float, ...]] = []
    for row in (one for some in rows for one in some):
        values = [round(float(value), 4) for value in view.ds.x[int(view.at[row])][:shown]]
        lines.append((f"cluster {view.clusters[row]}", view.called(row), view.label(row), *values))
    return Table(
        title=f"The {name} members of each cluster{view.looked}",
        alt=f"Members {name} to the middle of each cluster, and their first {shown} features.",
        columns=("cluster", "sample", "label", *(view.ds.column(one) for one in range(shown))),
        rows=lines,
    )
