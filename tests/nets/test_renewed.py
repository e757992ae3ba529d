"""New weights in an old shape: the same draw for the same seed, and of the variance that the widths ask for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure import data, nets, prune, train
from nervure.errors import InputError
from nervure.nets.renewed import renewed


def cut(net: nn.Module, keep: float) -> nn.Module:
    return prune.plan(net, None, "l1", prune.Target(keep=keep)).apply(net)


@pytest.mark.parametrize(("name", "settings"), [("lenet5", {"batch_norm": True}), ("resnet20", {"width": 0.5})])
def test_the_shape_stays_and_the_weights_are_new(name: str, settings: dict[str, object]) -> None:
    small = cut(nets.build(name, in_shape=(1, 16, 16), classes=10, **settings), 0.5)
    fresh = renewed(small, seed=3)
    assert fresh.training
    assert nets.origin_of(fresh) == nets.origin_of(small)
    shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (small, fresh)]
    assert shapes[0] == shapes[1]
    other, same = renewed(small, seed=4), renewed(small, seed=3)
    wide = [key for key, value in fresh.state_dict().items() if value.ndim > 1]
    for key in wide:
        values = [one.state_dict()[key] for one in (fresh, same, other, small)]
        assert torch.equal(values[0], values[1])
        assert not torch.equal(values[0], values[2]) and not torch.equal(values[0], values[3])
        assert values[0].abs().sum() > 0


def test_an_uncut_network_is_one_just_built() -> None:
    net = nets.build("lenet5", in_shape=(1, 16, 16), classes=10)
    built = nets.build("lenet5", in_shape=(1, 16, 16), classes=10, seed=5)
    torch.testing.assert_close(renewed(net, seed=5).state_dict(), built.state_dict(), rtol=0, atol=0)


def test_variances_are_those_of_the_widths_left() -> None:
    """He's uniform weights reach to the root of six over the inputs."""
    net = nets.build("mlp", in_shape=(50,), classes=10, widths=[400, 400])
    weight = renewed(cut(net, 0.25)).classifier[2].weight.detach()  # type: ignore[index, union-attr, operator]
    assert weight.shape == (100, 100)
    assert float(weight.abs().max()) == pytest.approx((6 / 100) ** 0.5, rel=0.01)


def test_it_learns() -> None:
    ds = data.load("digits")
    small = cut(nets.build("mlp", ds, widths=[64, 32]), 0.5)
    run = train.fit(renewed(small), ds, train.Recipe(epochs=8, lr=5e-3), device="cpu")
    assert run.metrics["accuracy"] > 0.8


def test_what_has_no_shape_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match="that nervure built"):
        renewed(nn.Linear(2, 1))
    net = nets.build("mlp", in_shape=(4,), classes=2, widths=[8])
    masked = nets.derive(net, net, nets.Step("mask", {}))
    with pytest.raises(InputError, match="a step 'mask'"):
        renewed(masked)
