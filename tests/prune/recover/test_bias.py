from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nervure.data.dataset import Dataset
from nervure.prune.recover import Repair, recover

Make = Callable[..., nn.Module]
Noise = Callable[..., Dataset]
KEPT = [0, 2, 3, 6]


def test_means_are_back(seeded: Make, thinned: Make, noise: Noise) -> None:
    net = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
        )
    )
    places = [unit * 9 + at for unit in KEPT for at in range(9)]
    small = thinned(net, [("0", "out", KEPT), ("2", "in", KEPT), ("2", "out", KEPT), ("5", "in", places)])
    ds, told = noise(2, 7, 7), list[Repair]()
    fixed = recover(small, net, ds, method="bias", tell=told.append)
    x = ds.batch(ds.indices("train")).x
    with torch.no_grad():
        torch.testing.assert_close(fixed(x).mean(0), net(x).mean(0), atol=1e-5, rtol=0)
        inner, aim = fixed[:3](x), net[:3](x)[:, KEPT]  # type: ignore[index]
        torch.testing.assert_close(inner.mean((0, 2, 3)), aim.mean((0, 2, 3)), atol=1e-5, rtol=0)
        assert float((small(x).mean(0) - net(x).mean(0)).abs().max()) > 1e-3
    assert [one.layer for one in told] == ["2", "5"]
    assert torch.equal(fixed[5].weight, small[5].weight)  # type: ignore[index]


def test_by_hand(thinned: Make, noise: Noise) -> None:
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    for layer, weight, bias in ((net[0], [[1.0], [0.0]], [0.0, 3.0]), (net[1], [[1.0, 2.0]], [0.5])):
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    fixed = recover(thinned(net, [("0", "out", [0]), ("1", "in", [0])]), net, noise(1), method="bias", kept={"0": [0]})
    # The unit that went was always 3, and was read with weight 2.
    torch.testing.assert_close(fixed[1].bias.detach(), torch.tensor([6.5]))  # type: ignore[index]


def test_without_a_bias_nothing_changes(seeded: Make, thinned: Make, noise: Noise) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)))
    small = thinned(net, [("0", "out", KEPT), ("2", "in", KEPT)])
    torch.testing.assert_close(recover(small, net, noise(4), method="bias").state_dict(), small.state_dict())
