from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.observe import Site, collect
from nervure.prune.criteria.contributions import Contributions, drawn_places
from nervure.prune.criteria.readers import Reader

LAYERS = {
    "linear": (nn.Linear(6, 5), (6,)),
    "conv1d": (nn.Conv1d(6, 4, 3, stride=2, padding=1), (6, 7)),
    "conv2d": (nn.Conv2d(6, 4, (3, 2), padding=(1, 0), dilation=(1, 2)), (6, 5, 6)),
    "grouped": (nn.Conv2d(6, 4, 3, groups=2), (6, 5, 5)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6, padding=1, padding_mode="circular"), (6, 4, 4)),
    "same": (nn.Conv1d(6, 4, 3, dilation=2, padding="same"), (6, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("start", "units", "spread"), [(0, 6, 1), (2, 3, 1), (2, 2, 2)])
def test_all_places_against_the_layer_itself(name: str, start: int, units: int, spread: int) -> None:
    layer, shape = LAYERS[name]
    layer = layer.to(torch.float64)
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(layer)
    places = layer(x)[0].numel()
    statistic = Contributions(Reader("0", layer, start, units, spread), per_example=places)
    found = collect(net, [Batch(x, None, torch.arange(3))], {Site("0"): [statistic]})[Site("0")][statistic.key]
    parts = torch.stack([_alone(layer, x, start + unit * spread, spread) for unit in range(units)])
    assert torch.allclose(found.result().gram, parts @ parts.T)
    assert found.result().count == 3 * places


def _alone(layer: nn.Module, x: Tensor, start: int, spread: int) -> Tensor:
    only = torch.zeros_like(x)
    only[:, start : start + spread] = x[:, start : start + spread]
    return (layer(only) - layer(torch.zeros_like(x))).detach().flatten()


def test_sampled_places_follow_from_the_example_alone() -> None:
    layer = nn.Conv2d(4, 8, 3).to(torch.float64)
    x = torch.randn(10, 4, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    index = torch.arange(10)

    def gram(order: Tensor, size: int, seed: int = 0) -> Tensor:
        statistic = Contributions(Reader("0", layer, 0, 4), per_example=5, seed=seed)
        batches = [Batch(x[at], None, at) for at in order.split(size)]
        found = collect(nn.Sequential(layer), batches, {Site("0"): [statistic]})[Site("0")][statistic.key]
        assert found.result().count == 50
        return found.result().gram

    assert torch.allclose(gram(index, 3), gram(index.flip(0), 10))
    assert not torch.allclose(gram(index, 3), gram(index, 3, seed=1))


def test_time_folded_into_the_batch_gives_each_step_the_places_of_its_example() -> None:
    layer = nn.Linear(4, 3).to(torch.float64)

    class Folds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x.flatten(0, 1))
            return out

    x = torch.randn(5, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    statistic = Contributions(Reader("layer", layer, 0, 4), per_example=3)
    seen = collect(Folds(), [Batch(x, None, torch.arange(5))], {Site("layer"): [statistic]})
    assert seen[Site("layer")][statistic.key].result().count == 5 * 2 * 3


def test_draws_are_even_and_tell_examples_apart() -> None:
    index = torch.arange(4000)
    for total in (64, 40_000):
        drawn = drawn_places(index, total, 10, seed=1)
        assert drawn.shape == (4000, 10)
        # 10,000 expected in each quarter; five standard deviations of a binomial are 433.
        quarters = torch.bincount((drawn * 4 // total).flatten(), minlength=4)
        assert ((quarters - 10_000).abs() < 433).all()
        assert torch.equal(drawn_places(index[7:9], total, 10, seed=1), drawn[7:9])
        assert not torch.equal(drawn[0], drawn[1])
    assert all(len(set(row.tolist())) == 10 for row in drawn_places(index[:50], 64, 10, seed=1))
