"""Each cluster in a line: members, certainty, silhouette, label; and what died."""

from __future__ import annotations

import numpy as np

from nervure.cluster.course import quality
from nervure.cluster.figures.view import View, trouble
from nervure.evidence import Figure, Table

__all__ = ["clusters", "course"]


def clusters(view: View) -> dict[str, Figure]:
    """A table of the clusters that live, whose title says how many died, and what is wrong."""
    wrong = trouble(view)
    order = np.argsort(-np.bincount(view.clusters, minlength=view.count), kind="stable")
    rows = [_row(view, int(one)) for one in order if view.alive[one]]
    many = f"{view.count} clusters" if view.alive.all() else f"{len(rows)} of at most {view.count} clusters"
    named = ("commonest label", "its share") if view.labels is not None else ()
    said = "; ".join(wrong) if wrong else "all of them are in use, and none lies on another"
    return {
        "clusters": Table(
            title=f"{many}{view.looked}: {said}",
            alt=f"Members, mean probability and silhouette of {many}, {view.of(len(view.at))}: {said}.",
            columns=("cluster", "members", "share", "mean probability", "silhouette", *named),
            rows=rows,
        )
    }


def course(view: View) -> dict[str, Figure]:
    """The label-free quality of each epoch that looked at clusters, if there were two."""
    looked = sum(row.get("confidence") is not None for row in view.run.history)
    return {"training-quality": quality(view.run)} if looked > 1 else {}


def _row(view: View, cluster: int) -> tuple[str | int | float | None, ...]:
    mine = view.clusters == cluster
    members = int(mine.sum())
    silhouette = None
    if view.silhouettes is not None and mine[view.some].any():
        silhouette = round(float(view.silhouettes[mine[view.some]].mean()), 3)
    sure = round(float(view.sure[mine].mean()), 3) if members else None
    row = (f"cluster {cluster}", members, round(members / len(view.at), 4), sure, silhouette)
    if view.labels is None:
        return row
    if (found := view.commonest(cluster)) is None:
        return (*row, None, None)
    return (*row, view.ds.names[found[0]], round(found[1], 3))
