"""A verdict with its evidence: scores as bars, the best first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.evidence import Bars, Figure
from nervure.judge import Judgement, Layer

__all__ = ["bars", "verdict"]


def bars(title: str, label: str, values: Tensor, stays: Tensor | None = None) -> Bars:
    """Values of units as bars, the largest first, each under its unit's number; ``stays`` (units,) bool colours them.

    >>> bars("votes of conv1", "votes", torch.tensor([1.0, 3.0])).bars
    ('1', '0')
    """
    wide = values.detach().to("cpu", torch.float64).numpy()
    order = np.argsort(-wide, kind="stable")
    alt = f"{len(wide)} units from {wide.min():.4g} to {wide.max():.4g}, median {np.median(wide):.4g}"
    groups = None if stays is None else (~stays).numpy().astype(np.int64)[order]
    if stays is not None:
        alt += f"; {int(stays.sum())} stay"
    series = () if stays is None else ("stays", "is cut")
    names = [str(unit) for unit in order]
    return Bars(title=title, alt=alt, values=wide[order][None], groups=groups, bars=names, series=series, y_label=label)


def verdict(
    layer: Layer,
    label: str,
    scores: Tensor,
    *,
    tiebreak: Tensor | None = None,
    figures: tuple[Figure, ...] = (),
    marked: Callable[[Tensor | None], tuple[Figure, ...]] = lambda stays: (),
    **notes: object,
) -> Judgement:
    """A judgement of ``scores`` (units,), called ``label``, with their bars before further ``figures``.

    ``marked`` makes the figures that show which units stay, (units,) bool, or None while nobody knows.

    >>> from torch import nn
    >>> layer = Layer("fc", nn.Linear(2, 2), 2)
    >>> verdict(layer, "votes", torch.tensor([1, 3])).evidence[0].title
    'votes by unit of fc'
    """
    if scores.shape != (layer.units,):
        what = f"{tuple(scores.shape)} scores for the {layer.units} units of layer {layer.name!r}"
        raise InputError(f"{what}; does its reader hold all units, each spread over {layer.spread} values?")
    scores = scores.detach().to("cpu", torch.float64)
    if not bool(scores.isfinite().all()):
        raise InputError(f"layer {layer.name!r}: {label} came out NaN or infinite; check the weights and the data")
    tiebreak = None if tiebreak is None else tiebreak.detach().to("cpu", torch.float64)

    def drawn(stays: Tensor | None = None) -> tuple[Figure, ...]:
        return (bars(f"{label} by unit of {layer.name}", label, scores, stays), *figures, *marked(stays))

    return Judgement(scores, tiebreak, notes, drawn)
