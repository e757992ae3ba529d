"""Several judgements as one, by rank or by vote; and how far they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.evidence import Matrix
from nervure.judge import Judgement, rounded, select

__all__ = ["agreement", "by_rank", "by_vote", "kendall_tau", "ranks"]

BLOCK = 1 << 22  # pairs of units compared at a time


def ranks(scores: Tensor) -> Tensor:
    """Rank of each value, 0 for the lowest; values equal at five digits share their mean rank. Float64, flat.

    >>> ranks(torch.tensor([3.0, 1.0, 3.0 + 1e-9]))
    tensor([1.5000, 0.0000, 1.5000], dtype=torch.float64)
    """
    _, inverse, counts = rounded(scores).unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).to(torch.float64)
    shared: Tensor = (last - (counts.to(torch.float64) + 1) / 2)[inverse]
    return shared


def _stacked(judgements: Mapping[str, Judgement]) -> Tensor:
    if not judgements:
        raise InputError("no judgements to combine; give one or more")
    sizes = {name: tuple(one.scores.shape) for name, one in judgements.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"judgements of different layers cannot be combined: {sizes}")
    return torch.stack([one.scores.flatten().to("cpu", torch.float64) for one in judgements.values()])


def by_rank(judgements: Mapping[str, Judgement], weights: Sequence[float] | None = None) -> Judgement:
    """The (weighted) mean of ranks: each criterion counts alike, whatever its scale.

    >>> a, b = Judgement(torch.tensor([0.0, 5.0, 9.0])), Judgement(torch.tensor([1.0, 3.0, 2.0]))
    >>> by_rank({"a": a, "b": b}).scores
    tensor([0.0000, 1.5000, 1.5000], dtype=torch.float64)
    """
    scores = _stacked(judgements)
    share = torch.ones(len(scores), dtype=torch.float64) if weights is None else torch.tensor(list(weights))
    if len(share) != len(scores) or bool((share < 0).any()) or not float(share.sum()) > 0:
        raise InputError(f"{len(share)} weights for {len(scores)} judgements; give one each, 0 or more")
    each = torch.stack([ranks(row) for row in scores])
    mean = (share[:, None].to(torch.float64) * each).sum(0) / float(share.sum())
    shape = next(iter(judgements.values())).scores.shape
    return Judgement(mean.view(shape), notes={"combined": "by rank", "criteria": tuple(judgements)})


def by_vote(judgements: Mapping[str, Judgement], l_frac: float = 0.5) -> Judgement:
    """Each criterion votes for its best ``l_frac`` of the units; equal votes are ranked by mean rank.

    >>> a, b = Judgement(torch.tensor([0.0, 5.0, 9.0])), Judgement(torch.tensor([1.0, 3.0, 2.0]))
    >>> by_vote({"a": a, "b": b}, 1 / 3).scores
    tensor([0., 1., 1.], dtype=torch.float64)
    """
    if not 0 < l_frac <= 1:
        raise InputError(f"l_frac = {l_frac}; give a share above 0, at most 1")
    scores = _stacked(judgements)
    each = max(1, math.ceil(l_frac * scores.shape[1] - 1e-9))
    votes = torch.zeros(scores.shape[1], dtype=torch.float64)
    for one in judgements.values():
        tiebreak = None if one.tiebreak is None else one.tiebreak.flatten()
        votes[select(one.scores.flatten(), each, tiebreak)] += 1
    shape = next(iter(judgements.values())).scores.shape
    tiebreak = by_rank(judgements).scores
    notes = {"combined": "by vote", "criteria": tuple(judgements), "l_frac": l_frac}
    return Judgement(votes.view(shape), tiebreak, notes=notes)


def kendall_tau(scores: Tensor) -> Tensor:
    """(criteria, criteria) Kendall's tau-b between the rows of ``scores`` (criteria, units).

    One for a row with itself, 0 between a constant row and any other. All pairs of rows by one product of
    signs for each block of pairs of units.

    >>> kendall_tau(torch.tensor([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))
    tensor([[1.0000, 0.3333],
            [0.3333, 1.0000]], dtype=torch.float64)
    """
    wide = scores.detach().to("cpu", torch.float64)
    count, units = wide.shape
    products = torch.zeros(count, count, dtype=torch.float64)
    step = max(1, BLOCK // max(1, count * units))
    for start in range(0, units, step):
        signs = (wide[:, start : start + step, None] - wide[:, None, :]).sign().flatten(1)
        products += signs @ signs.T
    length = products.diagonal().sqrt()
    scale = length[:, None] * length
    tau = torch.where(scale > 0, products / scale.clamp(min=1), 0.0)
    return tau.fill_diagonal_(1.0)


def agreement(judgements: Mapping[str, Judgement], layer: str = "") -> Matrix:
    """How far criteria agree on the order of a layer's units: Kendall's tau-b as a figure.

    >>> one = Judgement(torch.tensor([1.0, 2.0]))
    >>> agreement({"a": one, "b": one}).values
    array([[1., 1.],
           [1., 1.]])
    """
    tau = kendall_tau(_stacked(judgements))
    names = tuple(judgements)
    where = f" on {layer}" if layer else ""
    return Matrix(
        title=f"agreement of criteria{where} (Kendall's tau)",
        alt=f"{len(names)} criteria, lowest agreement {tau.min():.2f}",
        values=tau.numpy(),
        rows=names,
        columns=names,
    )
