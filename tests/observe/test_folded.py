from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe import CrossGram, GradientTimesActivation, Moments, Quantile, Site, Votes, collect
from nervure.observe.folded import Folded


def test_as_if_it_had_been_laid_out_so() -> None:
    x = torch.randn(10, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for make in (Moments, Quantile, Votes):
        plain, folded, other = make(), Folded(make(), 4), Folded(make(), 4)
        plain.update(x, None)
        folded.update(x[:6].flatten(1), None)
        other.update(x[6:].flatten(1), None)
        folded.merge(other)
        again = Folded(make(), 4).continued(folded.state())
        for key, value in plain.state().items():
            assert torch.allclose(value.double(), again.state()[key].double())


def test_in_a_pass_with_gradients() -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(6, 1)).to(torch.float64)
    batch = Batch(torch.randn(4, 1, 4, dtype=torch.float64), torch.zeros(4), torch.arange(4))
    wanted = {Site("1"): [Folded(GradientTimesActivation(), 3)], Site("0"): [GradientTimesActivation()]}
    found = collect(net, [batch], wanted, objective=lambda net, batch: (net(batch.x).mean(), {}))
    (folded,), (own,) = (list(found[site].values()) for site in wanted)
    assert torch.allclose(folded.result(), own.result())


def test_a_pattern_is_left_alone() -> None:
    pattern = Folded(Votes(0.5), 2)
    collect(nn.Identity(), [torch.ones(3, 4)], {"": [pattern]}, axes={"": 1})
    assert pattern.state() == {}


def test_bad_input() -> None:
    with pytest.raises(InputError, match="spread"):
        Folded(Moments(), 0)
    with pytest.raises(InputError, match="whole number"):
        Folded(Moments(), 3).update(torch.zeros(1, 4), None)
    with pytest.raises(InputError, match="cannot be folded"):
        Folded(CrossGram(nn.Linear(1, 1)), 2)
