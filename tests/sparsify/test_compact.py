"""A compacted network gives what the given one gives, on every strange network, or keeps the units and says why."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from nervure import nets, store
from nervure.errors import InputError
from nervure.sparsify.compact import compact, compacted, fold
from nervure.sparsify.masked import masked
from zoo import ZOO, make


def emptied(net: nn.Module, seed: int, share: float = 0.4) -> nn.Module:
    """Whole rows and columns of every layer set to zero at random, and half of the biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Linear | _ConvNd) and not parametrize.is_parametrized(module):
                weight = module.weight
                weight[torch.rand(weight.shape[0], generator=generator) < share] = 0
                weight[:, torch.rand(weight.shape[1], generator=generator) < share] = 0
                if module.bias is not None:
                    module.bias[torch.rand(len(module.bias), generator=generator) < 0.5] = 0
    return net


def gap(one: nn.Module, two: nn.Module, x: Tensor) -> float:
    """The largest difference in double precision, relative to the largest value."""
    with torch.no_grad():
        outs = [copy.deepcopy(net).double().eval()(x.double()) for net in (one, two)]
    pairs = zip(*(out if isinstance(out, tuple) else (out,) for out in outs), strict=True)
    return max(float((mine - theirs).abs().max() / mine.abs().max().clamp(min=1e-9)) for mine, theirs in pairs)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("strange", sorted(ZOO))
def test_strange_networks(strange: str, seed: int) -> None:
    net, shape = make(strange)
    emptied(net, seed)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(seed))
    found = compacted(net, x[:2])
    assert gap(net, found.net, x) <= 1e-6
    assert gap(net, found.net, 100 * x) <= 1e-6
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    empty = sum(found.removed.values()) + sum(sum(one.values()) for one in found.stayed.values())
    assert empty or strange == "tied functional"
    fewer = sum(one.numel() for one in found.net.parameters()) < sum(one.numel() for one in net.parameters())
    assert fewer == any(found.removed.values())


REMOVES = {"plain", "late norm", "residual", "depthwise", "grouped", "dense join", "inception", "transposed", "lstm"}


@pytest.mark.parametrize("strange", sorted(REMOVES))
def test_units_do_go_where_they_can(strange: str) -> None:
    net, shape = make(strange)
    assert sum(compacted(emptied(net, 0), torch.randn(3, *shape)).removed.values()) >= 4


def test_nothing_to_remove_is_a_copy() -> None:
    net = nets.build("lenet5", in_shape=(1, 28, 28), classes=10)
    found = compacted(net)
    assert found.net is not net
    assert not found.removed
    assert not found.stayed
    assert nets.origin_of(found.net) == nets.origin_of(net)


def test_constants_are_folded_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 2, bias=False), nn.Flatten(), nn.Linear(9, 1))
    net.requires_grad_(False)
    net[0].weight[0], net[0].bias[0] = 0, 3
    net[1].weight[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = compacted(net, torch.randn(3, 1, 4, 4))
    assert found.net[0].weight.shape == (1, 1, 1, 1)
    assert found.net[1].bias.tolist() == [30.0]
    assert dict(found.folded) == {"0": 1}
    assert net[1].bias is None


def test_fold_in_groups() -> None:
    layer = nn.Conv1d(4, 2, 3, groups=2, dtype=torch.float64).requires_grad_(False)
    constant = torch.tensor([0.0, 2.0, -1.0, 0.5], dtype=torch.float64)
    x = constant.view(1, 4, 1).expand(1, 4, 3)
    gives = layer(x).flatten()
    fold(layer, constant)
    assert torch.allclose(layer.bias, gives)


def test_a_masked_network(tmp_path: Path) -> None:
    net = nets.build("mlp", in_shape=(6,), classes=3, widths=[12, 10])
    masks = {"classifier.0": torch.ones(12, 6, dtype=torch.bool), "classifier.2": torch.ones(10, 12, dtype=torch.bool)}
    masks["classifier.0"][:5] = False
    masks["classifier.2"][:, 8:] = False
    thin = masked(net, masks)
    small = compact(thin)
    x = torch.randn(7, 6)
    assert gap(thin, small, x) <= 1e-6
    assert small.classifier[0].out_features == 3
    store.save(tmp_path / "run", small)
    assert gap(store.load(tmp_path / "run").net, small, x) == 0


def test_the_origin_rebuilds_a_bias_that_was_added(tmp_path: Path) -> None:
    net = nets.build("resnet20", in_shape=(3, 16, 16), classes=4, seed=0)
    emptied(net, 3, 0.5)
    small = compact(net)
    assert nets.origin_of(small).steps[-1].kind == "resize"
    store.save(tmp_path / "run", small)
    x = torch.randn(2, 3, 16, 16)
    assert gap(store.load(tmp_path / "run").net, small, x) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3))
    with torch.no_grad():
        net[0].weight[:5], net[0].bias[:5] = 0, 0.3
        net[2].weight[:, 10:] = 0
    x = torch.randn(4, 6, dtype=dtype)
    found = compacted(net.to(dtype), x)
    assert (dict(found.removed), dict(found.folded)) == ({"0": 11}, {"0": 5})
    assert gap(net, found.net, x) <= (1e-12 if dtype == torch.float64 else 2e-2)


def test_mode_is_kept() -> None:
    net = emptied(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2)), 0).train()
    assert compact(net, torch.randn(3, 4)).training


def test_the_table_says_what_stays() -> None:
    net, shape = make("group norm")
    table = compacted(emptied(net, 0), torch.randn(3, *shape)).table()
    assert "stayed" in table.alt
    assert any("normalises over the units" in str(row[-1]) for row in table.rows)


def test_refusals() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with pytest.raises(InputError, match="give example="):
        compact(net)
    with pytest.raises(InputError, match="does not run on input of shape"):
        compact(net, torch.randn(3, 5))
    with pytest.raises(InputError, match="NaN or infinite"):
        compact(nn.Sequential(nn.Linear(2, 1)).requires_grad_(False).apply(spoiled), torch.randn(3, 2))
    with pytest.raises(InputError, match="no weights"):
        compact(net.to("meta"), torch.randn(3, 2))


def spoiled(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        module.weight[0, 0] = float("nan")
