from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.features.inf_fs import inf_fs
from nervure.judge import judge, layers_of
from nervure.prune.criteria.activation import MeanActivation
from nervure.prune.criteria.nisp import NISP, final_scores


def test_by_hand(toy: Any) -> None:
    # Two outputs count alike: |W|T 1 = [1, 1, 2].
    assert toy("nisp").scores.tolist() == [0.25, 0.25, 0.5]
    assert toy("nisp", final="ones").scores.tolist() == [0.25, 0.25, 0.5]


def test_an_mlp_layer_by_layer() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).to(torch.float64)
    x = torch.randn(40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batches = [Batch(part, None, torch.arange(len(part))) for part in x.split(15)]
    found = judge(net, batches, {"nisp": NISP()}, layers=layers_of(net))["nisp"]
    scores = inf_fs(net(x).softmax(1).detach().numpy())
    for name in ("4", "2", "0"):
        assert np.allclose(found[name].scores, scores / scores.sum())
        scores = np.abs(net.get_submodule(name).weight.detach().numpy()).T @ scores


def test_only_the_first_samples_answer() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    index = torch.arange(50)
    some = [Batch(x[at], None, at) for at in index.flip(0).split(7)]
    first = [Batch(x[:10], None, index[:10])]
    one, other = (judge(net, data, {"nisp": NISP(samples=10)})["nisp"]["0"].scores for data in (some, first))
    assert torch.allclose(one, other)


def test_the_pass_is_shared_with_other_criteria() -> None:
    net, calls = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3)), []
    net.register_forward_hook(lambda *_: calls.append(1))
    judge(net, [Batch(torch.ones(3, 2), None, torch.arange(3))], {"nisp": NISP(), "mean": MeanActivation()})
    # The pass over the data, and that of the absolute network.
    assert len(calls) == 2


def test_options() -> None:
    with pytest.raises(InputError, match="inf-fs or ones"):
        NISP(final="pca")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="samples"):
        NISP(samples=0)


def test_more_outputs_than_are_compared_have_a_way_out() -> None:
    with pytest.raises(InputError, match="at most 4096 outputs with each other, and there are 4097; final=ones"):
        final_scores(torch.rand(2, 4097))
