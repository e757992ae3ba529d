"""What layers are fitted to: the uncut network, or the one just before the cut (spec majority-voting-pruning, 10)."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data import Dataset, from_arrays
from nervure.errors import InputError
from nervure.prune.recover import recover
from nervure.prune.training import layerwise

# Two samples whose inputs are orthogonal, so that fitting the second layer without its second input changes nothing
# in what it makes of the first. Hidden units: 4 and 4, relu(3) and relu(-1) = 3 and 0; the output is their sum: 7, 4.
# Without the second input the hidden units are 4 and 4, 1 and 1, and the output before the second cut is 5, 5.
SECOND = [[4.0, 0.0], [1.0, 2.0]]
UNCUT = 5.5 / 4  # times a hidden unit of 4: nearest to 7 and 4
BEFORE = 5.0 / 4  # nearest to 5 and 5


@pytest.fixture
def ds() -> Dataset:
    x = np.tile(np.array([[1, 1], [1, -1]], dtype=np.float32), (20, 1))
    return from_arrays(x, np.arange(40, dtype=np.float32), task="regression", standardize=False, validation=0, test=0)


@pytest.fixture
def net() -> nn.Module:
    layers = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)
    for layer, weight in zip((layers[0], layers[1], layers[3]), (np.eye(2), SECOND, [[1.0, 1.0]]), strict=True):
        layer.weight.data = torch.tensor(weight, dtype=torch.float32)  # type: ignore[union-attr]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize(("target", "last"), [("original", UNCUT), ("current", BEFORE)])
def test_layer_after_layer(net: nn.Module, ds: Dataset, target: str, last: float) -> None:
    options = {"ridge": 0, "target": target}
    run = layerwise(net, ds, None, 0.5, recover="kernel-estimation", recover_options=options, device="cpu")
    weights = [value.flatten().tolist() for value in run.net.state_dict().values()]
    assert weights == [pytest.approx([1, 0], abs=1e-6), pytest.approx([4.0]), pytest.approx([last])]
    assert [action.settings["recover_options"] for action in run.lineage] == [options, options]


@pytest.mark.parametrize("target", ["original", "current"])
def test_of_one_cut_the_network_before_it_is_the_uncut_one(net: nn.Module, ds: Dataset, target: str) -> None:
    small = copy.deepcopy(net)
    small[0].weight.data = net[0].weight.data[:1]  # type: ignore[index, union-attr, operator]
    small[1].weight.data = net[1].weight.data[:1, :1]  # type: ignore[index, union-attr, operator]
    small[3].weight.data = net[3].weight.data[:, :1]  # type: ignore[index, union-attr, operator]
    fixed = recover(small, net, ds, kept={"0": [0], "1": [0]}, ridge=0, target=target)
    weights = [value.flatten().tolist() for value in fixed.state_dict().values()]
    assert weights == [[1, 0], pytest.approx([4.0]), pytest.approx([UNCUT])]


def test_what_stood_before_must_be_of_the_same_kind(net: nn.Module, ds: Dataset) -> None:
    with pytest.raises(InputError, match="has no layer '1'"):
        recover(net, net, ds, current=nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(InputError, match="target = 'now'"):
        recover(net, net, ds, target="now")
