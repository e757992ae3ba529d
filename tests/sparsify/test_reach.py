"""What the input can reach, against the network run on many inputs and against hand-made cases."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nervure.sparsify.reach import constants, edges, other_sizes
from zoo import Net


def known(value: Tensor) -> list[float | None]:
    return [None if one != one else round(one, 5) for one in value.tolist()]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]), st.booleans())
def test_edges_of_convolutions_are_those_that_carry_something(seed: int, groups: int, turned: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    kind = nn.ConvTranspose2d if turned else nn.Conv2d
    layer = kind(4, 8, 3, groups=groups, bias=False, dtype=torch.float64).requires_grad_(False)
    layer.weight *= (torch.rand(layer.weight.shape[:2], generator=generator) > 0.5)[..., None, None]
    single = torch.eye(4, dtype=torch.float64).view(4, 4, 1, 1).expand(4, 4, 5, 5)
    carried = (layer(single) != 0).flatten(2).any(2).T
    assert torch.equal(edges(layer), carried)


def test_constants_through_norms_activations_and_pools() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1), nn.Flatten(),
        nn.Linear(18, 2),
    ).requires_grad_(False).eval()  # fmt: skip
    net[0].weight[:2], net[0].bias[:2] = 0, torch.tensor([4.0, -1.0])
    net[4].weight[0, 2] = 0
    found = constants(net, [torch.randn(3, 1, 8, 8)], ["4", "6"])
    scaled = [value / (1 + 1e-5) ** 0.5 for value in (4.0, 0.0)]
    assert known(found["4"]) == [pytest.approx(scaled[0], abs=1e-4), 0.0, None]
    first = float(net[4].weight[0, 0, 0, 0] * scaled[0] + net[4].bias[0])
    assert known(found["6"])[:9] == [pytest.approx(first, abs=1e-4)] * 9
    assert known(found["6"])[9:] == [None] * 9


def test_padding_makes_a_border_that_depends_on_the_size() -> None:
    def forward(self: Net, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x)).mean((2, 3)))

    net = Net(forward, a=nn.Conv2d(1, 1, 1), b=nn.Conv2d(1, 1, 3, padding=1), head=nn.Linear(1, 1))
    net.requires_grad_(False)
    net.a.weight[:], net.a.bias[:] = 0, 1
    found = constants(net, [torch.randn(3, 1, 6, 6)], ["b", "head"])
    assert known(found["b"]) == [1.0]
    assert known(found["head"]) == [None]


def test_a_switch_that_happens_to_be_shut_is_no_constant() -> None:
    """What a weight lets through is not a constant though the input never opens it."""

    def forward(self: Net, x: Tensor) -> Tensor:
        return self.head(F.relu(self.a(x) + self.shift(x)))

    net = Net(forward, a=nn.Linear(2, 2), shift=nn.Linear(2, 1), head=nn.Linear(2, 1)).requires_grad_(False)
    net.a.weight[0] = 0
    net.shift.bias[0] = -100
    assert known(constants(net, [torch.rand(3, 2)], ["head"])["head"]) == [None, None]
    shut = Net(lambda self, x: self.head(self.a(x) * F.hardsigmoid(self.shift(x))), **dict(net.named_children()))
    assert known(constants(shut, [torch.rand(3, 2)], ["head"])["head"]) == [None, None]


def test_a_forward_that_drops_nan_is_seen_on_real_input() -> None:
    def forward(self: Net, x: Tensor) -> Tensor:
        return self.head(torch.where(x > 0, x, 0.0))

    net = Net(forward, head=nn.Linear(2, 1))
    assert known(constants(net, [torch.tensor([[1.0, -1.0], [2.0, -1.0]])], ["head"])["head"])[0] is None


def test_whole_numbers_and_refusals_give_no_constants() -> None:
    net = nn.Sequential(nn.Embedding(4, 2), nn.Linear(2, 1))
    assert constants(net, [torch.tensor([0, 1])], ["1"]) == {}

    def forward(self: Net, x: Tensor) -> Tensor:
        if x.isnan().any():
            raise ValueError("no NaN")
        return self.head(x)

    assert constants(Net(forward, head=nn.Linear(2, 1)), [torch.randn(3, 2)], ["head"]) == {}


def test_the_network_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).train()
    constants(net, [torch.randn(3, 2)], ["1"])
    assert net.training
    assert not net[0]._forward_hooks
    assert bool(net(torch.ones(1, 2)).isfinite().all())


def test_other_sizes_of_series() -> None:
    shapes = [tuple(one[0].shape) for one in other_sizes([torch.zeros(2, 3, 100)])]
    assert shapes == [(2, 3, 50), (2, 3, 101), (2, 6, 100), (2, 4, 100)]
    assert list(other_sizes([torch.zeros(2, 3)])) == []
