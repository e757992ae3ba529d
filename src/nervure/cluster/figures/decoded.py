"""What the decoder makes of cluster centres, and of samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nervure.cluster.figures.pictures import images, limits
from nervure.cluster.figures.series import variates
from nervure.cluster.figures.view import View
from nervure.evidence import Curve, Figure, Images, Matrix

__all__ = ["centres", "reconstructions"]

PAIRS = 12
LINES = 3


def centres(view: View) -> dict[str, Figure]:
    """decode(c_k) of every cluster with a prototype: merged clusters look like a mixture (thesis, Fig. 3.4)."""
    prototypes = view.net.head.prototypes()
    if prototypes is None or view.net.decoder is None:
        return {}
    shown = np.flatnonzero(view.alive).tolist()
    with torch.no_grad():
        out = view.net.decode(prototypes.detach()[shown].to(torch.float32))
    names, sizes = [view.net.names[number] for number in shown], np.bincount(view.clusters, minlength=view.count)
    if view.ds.kind == "image":
        low, high = limits(view.ds, view.samples(view.some)[0])
        figure: Figure = Images(
            title=f"Cluster centres, decoded{view.looked}",
            alt=f"What the decoder makes of the centres of {len(out)} clusters, with each one's members.",
            pictures=images(view.ds.preprocessing, out, low, high),
            captions=[f"{number}: {sizes[number]}" for number in shown],
            columns=10,
        )
    elif view.ds.kind == "series":
        return {f"centres-{at}": _centre_lines(out[:, at], names, part) for at, part in variates(view)}
    else:
        figure = Matrix(
            title="Cluster centres, decoded",
            alt=f"What the decoder makes of the centres of {len(out)} clusters: features as network input.",
            values=out.flatten(1).numpy(),
            rows=names,
            columns=[view.ds.column(one) for one in range(out[0].numel())],
        )
    return {"centres": figure}


def _centre_lines(out: Tensor, names: list[str], part: str) -> Curve:
    return Curve(
        title=f"Cluster centres, decoded{part}",
        alt=f"What the decoder makes of the centres of {len(out)} clusters{part}, as network input.",
        x=np.arange(out.shape[-1]),
        y=out.numpy(),
        labels=names,
        x_label="time step",
        y_label="network input",
    )


def reconstructions(view: View) -> dict[str, Figure]:
    """Reconstructions over their inputs, of samples from all clusters (thesis, Fig. 3.3)."""
    if view.net.decoder is None or view.ds.kind == "table":
        return {}
    rows = _spread(view, PAIRS if view.ds.kind == "image" else LINES)
    x, mask = view.samples(rows)
    with torch.no_grad():
        out = view.net.decode(torch.from_numpy(view.latents[rows]))
    error = float((out - x).square().flatten(1).sum(dim=1).mean())
    if view.ds.kind == "image":
        low, high = limits(view.ds, view.samples(view.some)[0])
        both = images(view.ds.preprocessing, torch.cat([out, x]), low, high)
        words = [view.label(row) or str(view.clusters[row]) for row in rows]
        return {
            "reconstructions": Images(
                title="Reconstructions, above their inputs",
                alt=f"{len(rows)} samples, with their label or cluster, below what the decoder makes of their latents; "
                f"squared error {error:.3g}.",
                pictures=both,
                captions=[*[""] * len(rows), *words],
                columns=len(rows),
            )
        }
    return {
        f"reconstructions-{at}": _lines(view, rows, torch.stack([x[:, at], out[:, at]], dim=1), mask, part)
        for at, part in variates(view)
    }


def _lines(view: View, rows: np.ndarray, pairs: Tensor, mask: Tensor | None, part: str) -> Curve:
    if mask is not None:
        pairs = pairs.masked_fill(~mask[:, None], float("nan"))
    names = [name for row in rows for name in (view.called(row), f"{view.called(row)}, reconstructed")]
    return Curve(
        title=f"Series and their reconstructions{part}",
        alt=f"{len(rows)} series{part} beside what the decoder makes of their latents.",
        x=np.arange(pairs.shape[-1]),
        y=pairs.flatten(0, 1).numpy(),
        labels=names,
        x_label="time step",
        y_label="network input",
    )


def _spread(view: View, most: int) -> np.ndarray:
    """Rows from all clusters in turn, the surest of each first."""
    order = view.some[np.lexsort((-view.sure[view.some], view.clusters[view.some]))]
    chosen = view.clusters[order]
    turn = np.concatenate([np.arange((chosen == one).sum()) for one in np.unique(chosen)])
    return np.asarray(np.sort(order[np.argsort(turn, kind="stable")[:most]]))
