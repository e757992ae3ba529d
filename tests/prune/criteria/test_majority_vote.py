from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Judgement, Layer, judge, select
from nervure.observe import Site
from nervure.prune.criteria.majority_vote import MajorityVote, vote_table


def vote(t: torch.Tensor, size: int = 4, **options: float) -> Judgement:
    """The verdict on a layer whose output is ``t`` (examples, units)."""
    net = nn.Sequential(nn.Identity(), nn.Linear(t.shape[1], t.shape[1], bias=False)).to(t.dtype)
    with torch.no_grad():
        net[1].weight.copy_(torch.eye(t.shape[1]))
    batches = [Batch(t[at], None, at) for at in torch.arange(len(t)).split(size)]
    return judge(net, batches, {"mv": MajorityVote(**options)})["mv"]["1"]


def test_first_worked_example() -> None:
    t = torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.3, 0.7, 0.6, 0.1], [0.5, 0.4, 0.9, 0.45]])
    found = vote(t, l_frac=0.5)
    assert found.scores.tolist() == [2, 1, 3, 0]
    assert select(found.scores, 2, found.tiebreak).tolist() == [0, 2]


def test_second_worked_example_differs_from_the_mean() -> None:
    t = torch.tensor([[10.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
    found = vote(t, l_frac=1 / 3)
    assert found.scores.tolist() == [1, 2, 0]
    assert select(found.scores, 1).tolist() == [1]
    assert int(t.mean(0).argmax()) == 0


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(2, 15), st.floats(0.01, 1.0), st.integers(1, 7))
def test_against_a_double_loop(seed: int, n: int, units: int, l_frac: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    t = torch.from_numpy(rng.normal(size=(n, units)))
    l = max(1, int(np.ceil(l_frac * units - 1e-9)))
    votes = np.zeros(units, int)
    for row in t.numpy():
        for unit in sorted(range(units), key=lambda j: -row[j])[:l]:
            votes[unit] += 1
    found = vote(t, size, l_frac=l_frac)
    assert found.scores.tolist() == votes.tolist()
    assert found.scores.sum() == n * l
    assert ((found.scores >= 0) & (found.scores <= n)).all()
    scaled = t * torch.from_numpy(rng.uniform(0.1, 10, (n, 1)))
    assert vote(scaled, size, l_frac=l_frac).scores.tolist() == votes.tolist()
    assert vote(t.flip(0), size, l_frac=l_frac).scores.tolist() == votes.tolist()
    assert vote_table(t, l_frac).sum(0).tolist() == votes.tolist()


def test_zero_votes_are_ranked_by_mean_activation() -> None:
    t = torch.tensor([[5.0, 1.0, 2.0, 3.0]] * 4)
    found = vote(t, l_frac=0.2)
    assert found.scores.tolist() == [4, 0, 0, 0]
    assert select(found.scores, 3, found.tiebreak).tolist() == [0, 2, 3]
    assert found.notes["without_votes"] == 3


def test_evidence_shows_examples_and_votes() -> None:
    t = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    bars, values, votes = vote(t, l_frac=0.5).evidence
    assert bars.values[0].tolist() == sorted(bars.values[0].tolist(), reverse=True)
    assert values.values.shape == votes.values.shape == (32, 6)
    assert np.allclose(values.values, t[:32])
    assert set(votes.values.sum(1)) == {3}


def test_own_output_or_as_it_is_read() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 1)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
        net[1].weight.copy_(torch.tensor([1.0, 5.0]))
    layer = Layer("0", net[0], 2, Site("3", "input"), 1, ("3",))
    batch = [Batch(torch.tensor([[2.0, 1.0]]), None, torch.arange(1))]
    found = judge(net, batch, {"own": MajorityVote(0.5), "seen": MajorityVote(0.5, tensor="seen")}, layers=[layer])
    assert found["own"]["0"].scores.tolist() == [1, 0]
    assert found["seen"]["0"].scores.tolist() == [0, 1]


def test_options() -> None:
    with pytest.raises(InputError, match="l_frac"):
        MajorityVote(l_frac=0.0)
    with pytest.raises(InputError, match="tensor"):
        MajorityVote(tensor="post")  # type: ignore[arg-type]


def test_places_before_and_behind_batch_norm_and_activation() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
        net[1].bias.copy_(torch.tensor([0.0, 5.0]))
        net[3].weight.copy_(torch.eye(2))
    batches = [Batch(torch.tensor([[2.0, -7.0], [1.0, -3.0]]), None, torch.arange(2))]
    found = {
        tensor: judge(net, batches, {"mv": MajorityVote(l_frac=0.5, tensor=tensor)})["mv"]["0"]  # type: ignore[arg-type]
        for tensor in ("pre_bn", "pre_act", "active")
    }
    assert {tensor: one.scores.tolist() for tensor, one in found.items()} == {
        "pre_bn": [2, 0],
        "pre_act": [1, 1],
        "active": [1, 1],
    }
    assert found["pre_act"].tiebreak.tolist() == pytest.approx([1.5, 0.0], abs=1e-4)
    assert found["active"].tiebreak.tolist() == pytest.approx([1.5, 1.0], abs=1e-4)
