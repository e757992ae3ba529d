from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from nervure.judge import Layer, judge, select
from nervure.prune.criteria.random import Random


def order(seed: int, name: str = "fc", units: int = 6) -> list[float]:
    return Random(seed).judge(Layer(name, nn.Linear(1, units), units), {}, {}).scores.tolist()


def test_layers_do_not_matter_to_each_other() -> None:
    net = nn.Sequential(nn.Linear(2, 6), nn.Linear(6, 6))
    layers = [Layer(name, net[int(name)], 6) for name in ("0", "1")]
    forwards = judge(net, [], {"random": Random(3)}, layers=layers)["random"]
    backwards = judge(net, [], {"random": Random(3)}, layers=layers[::-1])["random"]
    alone = judge(net, [], {"random": Random(3)}, layers=layers[1:])["random"]
    for name in ("0", "1"):
        assert torch.equal(forwards[name].scores, backwards[name].scores)
    assert torch.equal(forwards["1"].scores, alone["1"].scores)
    assert not torch.equal(forwards["0"].scores, forwards["1"].scores)


def test_uniform_over_seeds() -> None:
    kept = Counter(unit for seed in range(600) for unit in select(torch.tensor(order(seed)), 2).tolist())
    # 200 expected of each; five standard deviations of a binomial are 58.
    assert all(142 < kept[unit] < 258 for unit in range(6))


def test_seeds() -> None:
    assert order(1) == order(1) != order(2)


def test_leaves_the_global_generator_alone() -> None:
    layer = Layer("fc", nn.Linear(1, 6), 6)
    before = torch.random.get_rng_state()
    Random(1).judge(layer, {}, {})
    assert torch.equal(before, torch.random.get_rng_state())
