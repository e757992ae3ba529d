"""How far features of square pictures change when these are turned and flipped (spec deepcluster, S12, Fig 4.4)."""

from __future__ import annotations

from nervure.cluster.figures.latents import evenly
from nervure.cluster.figures.view import View
from nervure.cluster.invariance import figures, measure
from nervure.evidence import Figure

__all__ = ["invariance"]

SHOWN = 200
"""Pictures that are turned."""


def invariance(view: View) -> dict[str, Figure]:
    """A panel for each of the first convolutions and for the latents; only for square pictures."""
    shape = view.ds.in_shape
    if view.ds.kind != "image" or shape[-1] != shape[-2] or len(view.some) < 2:
        return {}
    found = measure(view.net, view.ds, view.at[evenly(view.some, SHOWN)])
    panels = figures({"this run": found})
    return {f"invariance-{layer.replace(' ', '-')}": one for layer, one in zip(found.layers, panels, strict=True)}
