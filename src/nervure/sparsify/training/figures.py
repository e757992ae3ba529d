"""Figures of training under masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nervure.evidence import Curve, Figure
from nervure.sparsify.mask import Mask
from nervure.store.run import History

__all__ = ["training_figures"]

_LABELS = {"sparsity": "sparsity", "mask_change": "edges whose mask then changed", "nominal": "nominal"}


def training_figures(mask: Mask | None, history: History) -> dict[str, Figure]:
    """Sparsity by epoch, and of the last mask its table and bars.

    >>> list(training_figures(None, [{"epoch": 1, "sparsity": 0.5}]))
    ['sparse-training']
    """
    found: dict[str, Figure] = {} if mask is None else mask.evidence
    names: Sequence[str] = [name for name in _LABELS if history and all(name in row for row in history)]
    if names:
        last = history[-1]["sparsity"]
        found["sparse-training"] = Curve(
            title="Sparsity while training",
            alt=f"Over {len(history)} epochs to a sparsity of {last:.1%}.",
            x=np.arange(1, len(history) + 1),
            y=[[row[name] for row in history] for name in names],  # type: ignore[arg-type]
            labels=[_LABELS[name] for name in names],
            x_label="epoch",
            y_label="share of edges",
        )
    return found
