"""Majority voting: each example votes for its most active units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.evidence import Figure, Matrix
from nervure.judge import Judgement, Layer, Probe, Wanted
from nervure.observe.moments import Moments, MomentsResult
from nervure.observe.votes import Votes, VotesResult, votes_each
from nervure.prune.criteria.rows import Rows
from nervure.prune.criteria.seen import Looking, Where
from nervure.prune.criteria.verdict import verdict

__all__ = ["MajorityVote", "vote_table"]

SHOWN = 32


def vote_table(scores: Tensor, l_frac: float) -> Tensor:
    """(n, units) 0 or 1: which units each row of ``scores`` (n, units) votes for; spec eq. 5.2.

    >>> vote_table(torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.3, 0.7, 0.6, 0.1]]), 0.5)
    tensor([[1, 0, 1, 0],
            [0, 1, 1, 0]])
    """
    order = scores.argsort(dim=1, descending=True, stable=True)[:, : votes_each(scores.shape[1], l_frac)]
    return torch.zeros(scores.shape, dtype=torch.int64).scatter_(1, order, 1)


def heat_maps(layer: Layer, rows: Tensor, l_frac: float, what: str) -> tuple[Figure, ...]:
    """The values of a few examples, and their votes, both (examples, units); spec fig. 5.2.

    >>> heat_maps(Layer("fc", torch.nn.Linear(1, 2), 2), torch.eye(2), 0.5, "activation")[1].title
    'votes of 2 examples over the units of fc'
    """
    n, units = rows.shape
    over = f"{n} examples over the units of {layer.name}"
    each = votes_each(units, l_frac)
    values = Matrix(
        title=f"{what} of {over}",
        alt=f"from {rows.min():.4g} to {rows.max():.4g}",
        values=rows.numpy(),
        x_label="unit",
        y_label="example",
    )
    votes = Matrix(
        title=f"votes of {over}",
        alt=f"{each} of {units} units in each row",
        values=vote_table(rows, l_frac).numpy(),
        x_label="unit",
        y_label="example",
        counts=True,
    )
    return values, votes


@dataclass(frozen=True)
class MajorityVote(Looking):
    """Votes ``y_j = sum_n v_nj``, v_nj = 1 where unit j is among the l most active of example n.

    Source: spec majority-voting-pruning, 2 (eqs. 5.1 to 5.4). A map votes with its mean. Equal votes are
    ranked by mean activation.

    Parameters
    ----------
    l_frac : float
        ``l = max(1, ceil(l_frac * units))``.
    tensor : {"pre_bn", "pre_act", "active", "seen"}
        The layer's own output; what its activation reads; behind the activation; or as the next layer reads it.

    Examples
    --------
    >>> from nervure.data import Batch
    >>> from nervure.judge import judge, layers_of
    >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(4, 4, bias=False))
    >>> _ = net[1].weight.data.copy_(torch.eye(4))
    >>> x = torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.3, 0.7, 0.6, 0.1], [0.5, 0.4, 0.9, 0.45]])
    >>> judge(net, [Batch(x, None, torch.arange(3))], {"mv": MajorityVote(l_frac=0.5)})["mv"]["1"].scores
    tensor([2., 1., 3., 0.], dtype=torch.float64)
    """

    l_frac: float = 0.2
    tensor: Where = "pre_bn"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.l_frac <= 1:
            raise InputError(f"l_frac = {self.l_frac}; give a share above 0, at most 1")

    def wants(self, layer: Layer) -> Mapping[str, Wanted]:  # noqa: D102
        statistics = {"votes": Votes(self.l_frac), "moments": Moments(), "rows": Rows(SHOWN)}
        return {name: self.at(layer, one) for name, one in statistics.items()}

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        votes, moments, rows = results["votes"], results["moments"], results["rows"]
        assert isinstance(votes, VotesResult)
        assert isinstance(moments, MomentsResult)
        assert isinstance(rows, Tensor)
        return verdict(
            layer,
            "votes",
            votes.votes,
            tiebreak=moments.mean,
            figures=heat_maps(layer, rows, self.l_frac, "activation"),
            tensor=self.tensor,
            examples=votes.examples,
            votes_each=votes.each,
            without_votes=int((votes.votes == 0).sum()),
        )
