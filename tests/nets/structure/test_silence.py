from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nervure import prune
from nervure.errors import InputError
from nervure.nets.structure.surgery import trace

Zoo = Callable[[str], tuple[nn.Module, tuple[int, ...]]]


def test_units_are_silenced_where_they_are_read(zoo: Zoo) -> None:
    """After the norm: a unit silenced before it would leave the norm as a constant."""
    net, shape = zoo("late norm")
    x = torch.randn(3, *shape)
    seen = net[2](F.relu(net[0](x)))
    seen[:, [0, 2, 3, 4, 6, 7]] = 0
    with torch.no_grad(), prune.ablated(net, {"0": [1, 5]}, example=x):
        found = net(x)
    assert torch.allclose(found, net[3:](seen), atol=1e-6)


def test_behind_a_flatten_a_unit_is_a_block(zoo: Zoo) -> None:
    net, shape = zoo("soft view")
    x = torch.randn(3, *shape)
    maps = F.relu(net.a(x))
    maps[:, 1:] = 0
    with torch.no_grad(), prune.ablated(net, {"a": torch.arange(8) == 0}, example=x):
        assert torch.allclose(net(x), net.head(maps.flatten(1)), atol=1e-6)


def test_a_norm_over_units_counts_those_that_stay(zoo: Zoo) -> None:
    net, shape = zoo("layer norm")
    x = torch.randn(3, *shape)
    part = F.layer_norm(net[0](x)[:, :5], (5,), net[1].weight[:5], net[1].bias[:5], net[1].eps)
    rest = F.gelu(part) @ net[3].weight[:, :5].T + net[3].bias
    with torch.no_grad(), prune.ablated(net, {"0": list(range(5))}, example=x):
        assert torch.allclose(net(x), net[4:](rest), atol=1e-5)


def test_what_cannot_be_followed_is_refused_and_not_silenced_wrongly(zoo: Zoo) -> None:
    net, shape = zoo("shuffled")
    x = torch.randn(3, *shape)
    with pytest.raises(InputError, match="'a' cannot be cut: .*another result"):
        prune.ablated(net, {"a": [0, 1, 2, 3, 4, 6, 7]}, example=x).__enter__()
    with torch.no_grad(), prune.ablated(net, {"b": [0, 1]}, example=x):
        net(x)


def test_a_network_is_as_before_also_after_an_error(zoo: Zoo) -> None:
    net, shape = zoo("plain")
    x = torch.randn(3, *shape)
    whole = net(x)
    with prune.ablated(net, {"0": [0]}, example=x):
        assert not torch.allclose(net(x), whole)
    with pytest.raises(RuntimeError), prune.ablated(net, {"0": [0]}, example=x):
        net(torch.zeros(1))
    assert torch.equal(net(x), whole)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in net.modules())


def test_layers_that_share_units_must_agree(zoo: Zoo) -> None:
    net, shape = zoo("residual")
    graph = trace(net, torch.zeros(2, *shape))
    with prune.ablated(net, {"stem": [0, 1]}, graph=graph), prune.ablated(net, {"b": [0, 1]}, graph=graph):
        pass
    with pytest.raises(InputError, match="'b' and 'stem' share their units"):
        prune.ablated(net, {"stem": [0, 1], "b": [0]}, graph=graph).__enter__()


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"stems": [0]}, "did you mean 'stem'"),
        ({"stem": torch.ones(3, dtype=torch.bool)}, r"a mask of shape \(3,\); its 8 units need \(8,\)"),
        ({"head": [0]}, "network's output"),
    ],
)
def test_bad_masks_are_refused(zoo: Zoo, keep: dict[str, object], said: str) -> None:
    net, shape = zoo("residual")
    with pytest.raises(InputError, match=said):
        prune.ablated(net, keep, example=torch.zeros(2, *shape)).__enter__()  # type: ignore[arg-type]


def test_gradients_pass_a_mask(zoo: Zoo) -> None:
    net, shape = zoo("plain")
    x = torch.randn(3, *shape)
    with prune.ablated(net, {"4": [0]}, example=x):
        net(x).sum().backward()
    assert bool((net[7].weight.grad.view(10, 12, 16)[:, 1:] == 0).all())
    assert bool((net[7].weight.grad.view(10, 12, 16)[:, 0] != 0).any())
