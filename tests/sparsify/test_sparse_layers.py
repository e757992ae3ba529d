"""Sparse layers give what dense ones give."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.sparsify.sparse_layers import is_pointwise, sparse_layer


def thinned(layer: nn.Module, share: float = 0.9) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    layer.requires_grad_(False)
    layer.weight[torch.rand(layer.weight.shape, generator=generator) < share] = 0
    return layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(20,), (1, 20), (7, 20), (3, 4, 20), (0, 20)])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    layer = thinned(nn.Linear(20, 30, bias=bias, dtype=torch.float64))
    x = torch.randn(shape, dtype=torch.float64)
    found = sparse_layer(layer)(x)
    assert found.shape == layer(x).shape
    assert found.is_contiguous()
    assert torch.allclose(found, layer(x))


@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
@pytest.mark.parametrize("samples", [1, 3])
def test_pointwise(stride: int | tuple[int, int], samples: int) -> None:
    layer = thinned(nn.Conv2d(12, 8, 1, stride=stride, dtype=torch.float64))
    x = torch.randn(samples, 12, 7, 6, dtype=torch.float64)
    assert torch.allclose(sparse_layer(layer)(x), layer(x))
    assert torch.allclose(sparse_layer(layer)(x.to(memory_format=torch.channels_last)), layer(x))


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(6, 4, 1)])
def test_its_weight_can_be_read(layer: nn.Module) -> None:
    assert torch.equal(sparse_layer(thinned(layer)).weight, layer.weight)


def test_a_layer_without_any_edge() -> None:
    layer = thinned(nn.Linear(5, 4), 1.1)
    assert torch.equal(sparse_layer(layer)(torch.randn(2, 5)), layer(torch.randn(2, 5)))


def test_copies_types_and_weights_that_are_read_anew() -> None:
    layer = thinned(nn.Linear(20, 30))
    edges, x = sparse_layer(layer), torch.randn(3, 20)
    before = edges(x)
    assert torch.equal(copy.deepcopy(edges)(x), before)
    assert copy.deepcopy(edges).double()(x.double()).dtype == torch.float64
    twice = {name: 2 * value if name in ("values", "bias") else value for name, value in edges.state_dict().items()}
    edges.load_state_dict(twice)
    assert torch.allclose(edges(x), 2 * before, atol=1e-6)
    edges.load_state_dict({**twice, "columns": twice["columns"] + 1000})
    with pytest.raises(RuntimeError):
        edges(x)


def test_other_layers_are_refused() -> None:
    assert not is_pointwise(nn.Conv2d(4, 4, 1, groups=2))
    assert not is_pointwise(nn.Conv2d(4, 4, 1, padding=1))
    with pytest.raises(InputError, match="Conv2d has no sparse form"):
        sparse_layer(nn.Conv2d(4, 4, 3))
