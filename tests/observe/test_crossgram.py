"""Normal equations: the layer itself is their solution."""

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe import CrossGram, Site, collect
from nervure.observe.crossgram import Window, patches, picked_positions

LAYERS = [
    (nn.Conv2d(2, 3, 3, padding=1), (6, 2, 7, 8)),
    (nn.Conv2d(2, 3, (3, 2), stride=2, bias=False), (9, 2, 7, 8)),
    (nn.Conv2d(2, 3, 3, padding="same", dilation=2, padding_mode="reflect"), (6, 2, 7, 8)),
    (nn.Conv2d(2, 3, (3, 4), padding="same", padding_mode="circular"), (9, 2, 7, 8)),
    (nn.Conv2d(2, 4, 1, groups=2), (6, 2, 7, 8)),
    (nn.Conv1d(2, 3, 4, padding=2, stride=2), (12, 2, 19)),
    (nn.Linear(5, 3), (20, 5)),
    (nn.Linear(5, 3), (6, 4, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value))
def test_solving_them_gives_the_layer_back(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
    cross = CrossGram(layer)
    found = collect(nn.Sequential(layer), x.split(4), {"0": [cross]})[Site("0")][cross.key].result()
    n, inputs = found.count, found.inputs
    gram = found.gram - torch.outer(inputs, inputs) / n
    rhs = found.cross - torch.outer(inputs, found.outputs) / n
    weight = torch.linalg.solve(gram, rhs).T
    bias = (found.outputs - weight @ inputs) / n
    expected = layer.weight.detach().flatten(1).double()
    if getattr(layer, "groups", 1) == 2:
        expected = torch.block_diag(expected[:2], expected[2:])
    torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)
    if layer.bias is not None:
        torch.testing.assert_close(bias, layer.bias.detach().double(), rtol=1e-4, atol=1e-5)


def test_patches_times_kernel_is_the_convolution() -> None:
    layer = nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=2)
    x = torch.randn(2, 3, 9, 10, generator=torch.Generator().manual_seed(0))
    product = patches(x, Window.of(layer)) @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(product.transpose(1, 2), layer(x).flatten(2), rtol=1e-4, atol=1e-5)


def test_error_from_sums_equals_error_from_data() -> None:
    layer = nn.Linear(4, 3)
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    y = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    cross = CrossGram(layer, target=lambda batch: y[batch.index])
    found = collect(nn.Sequential(layer), x.split(7), {"0": [cross]})[Site("0")][cross.key].result()
    expected = (layer(x) - y).double().square().sum(0)
    torch.testing.assert_close(found.error(layer.weight, layer.bias), expected, rtol=1e-5, atol=0)


def test_positions_follow_from_seed_and_sample_alone() -> None:
    index = torch.arange(50)
    picked = picked_positions(index, 64, 5, seed=3)
    assert all(len(set(row.tolist())) == 5 for row in picked)
    assert torch.equal(picked[10:20], picked_positions(index[10:20], 64, 5, seed=3))
    assert not torch.equal(picked, picked_positions(index, 64, 5, seed=4))
    # Chi-square of 20000 draws over 64 places: mean 63, standard deviation 11.
    counts = picked_positions(torch.arange(20000), 64, 1, seed=0).flatten().bincount(minlength=64).double()
    assert float((counts - 312.5).square().sum() / 312.5) < 63 + 4 * 11.3


def test_sampling_is_the_same_for_any_batches() -> None:
    layer = nn.Conv2d(2, 3, 3)
    x = torch.randn(8, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    cross = CrossGram(layer, per_example=4, seed=1)
    results = [
        collect(nn.Sequential(layer), x.split(size), {"0": [cross]})[Site("0")][cross.key].result() for size in (3, 8)
    ]
    assert results[0].count == results[1].count == 32
    torch.testing.assert_close(results[0].gram, results[1].gram, rtol=1e-12, atol=1e-12)


def test_positions_are_drawn_where_time_is_folded_into_the_batch() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.flatten(0, 1))

    net, x = Folded(), torch.randn(6, 4, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    cross = CrossGram(net.conv, per_example=5, seed=2)
    results = [collect(net, x.split(size), {"conv": [cross]})[Site("conv")][cross.key].result() for size in (4, 6)]
    assert results[0].count == results[1].count == 6 * 4 * 5
    torch.testing.assert_close(results[0].gram, results[1].gram, rtol=1e-12, atol=1e-12)
    batch = Batch(x, None, torch.arange(6))
    with pytest.raises(InputError, match="7 rows for 6 examples"):
        cross.update(torch.ones(7, 2, 5, 5), batch, incoming=torch.ones(7, 1, 7, 7))


def test_bad_use() -> None:
    with pytest.raises(InputError, match="ReLU has no patches"):
        CrossGram(nn.ReLU())
    with pytest.raises(InputError, match="per_example = 0"):
        CrossGram(nn.Linear(2, 2), per_example=0)
    with pytest.raises(InputError, match="pass incoming="):
        CrossGram(nn.Linear(2, 2)).update(torch.ones(1, 2), None)
    strange = CrossGram(nn.Conv1d(1, 1, 3), target=lambda batch: torch.ones(1, 1, 9))
    with pytest.raises(InputError, match="positions of the target"):
        strange.update(torch.ones(1, 1, 3), Batch(torch.ones(1), None, torch.arange(1)), incoming=torch.ones(1, 1, 5))
