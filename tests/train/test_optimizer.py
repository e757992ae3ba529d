"""Optimizers follow the recipe, and their state follows a changed network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nervure.train import Change, Kept, Recipe
from nervure.train.optimizer import carry, load_state, make_optimizer, state_by_name

NAMES = ("sgd", "adam", "adamw", "rmsprop")


def stepped(name: str, net: nn.Module, steps: int = 3) -> torch.optim.Optimizer:
    optimizer = make_optimizer(Recipe(optimizer=name, lr=0.01), net)  # type: ignore[arg-type]
    for step in range(steps):
        optimizer.zero_grad()
        net(torch.ones(2, 4) * (step + 1)).square().sum().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", NAMES)
def test_settings_arrive(name: str) -> None:
    net = nn.Linear(4, 3)
    net.bias.requires_grad_(False)
    optimizer = make_optimizer(Recipe(optimizer=name, lr=0.3, momentum=0.4, weight_decay=0.1), net)  # type: ignore[arg-type]
    group = optimizer.param_groups[0]
    assert type(optimizer).__name__.lower() == name
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.1)
    assert group.get("momentum", 0.4) == 0.4
    assert len(group["params"]) == 1  # what does not train is left out


def test_nesterov() -> None:
    recipe = Recipe(optimizer="sgd", nesterov=True)
    assert make_optimizer(recipe, nn.Linear(2, 2)).param_groups[0]["nesterov"]


@pytest.mark.parametrize("name", NAMES)
def test_state_by_name_continues_to_the_same_weights(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    optimizer = stepped(name, net)
    states = {
        key: {k: v.clone() if torch.is_tensor(v) else v for k, v in one.items()}
        for key, one in state_by_name(optimizer, net).items()
    }
    again = nn.Linear(4, 3)
    again.load_state_dict(net.state_dict())
    fresh = make_optimizer(Recipe(optimizer=name, lr=0.01), again)  # type: ignore[arg-type]
    load_state(fresh, again, states)
    for one, other in ((net, optimizer), (again, fresh)):
        other.zero_grad()
        one(torch.ones(2, 4)).square().sum().backward()
        other.step()
    assert torch.equal(net.weight, again.weight)
    assert torch.equal(net.bias, again.bias)


@pytest.mark.parametrize("name", NAMES)
def test_state_is_cut_as_the_network_is(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    states = state_by_name(stepped(name, net), net)
    rows = torch.tensor([0, 3, 5])
    small = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.Linear(2, 2))
    kept = {
        "0.weight": Kept("0.weight", {0: rows}), "0.bias": Kept("0.bias", {0: rows}),
        "1.weight": Kept("1.weight", {1: rows}), "1.bias": Kept("1.bias"), "2.bias": Kept("no.such"),
    }  # fmt: skip
    carried = carry(states, {key: value.shape for key, value in net.named_parameters()}, Change(small, kept))
    assert set(carried) == {"0.weight", "0.bias", "1.weight", "1.bias"}  # the third layer starts afresh
    for key, value in states["0.weight"].items():
        expected = value[rows] if torch.is_tensor(value) and value.shape == (6, 4) else value
        assert torch.equal(torch.as_tensor(carried["0.weight"][key]), torch.as_tensor(expected))
    for key, value in states["1.weight"].items():
        if torch.is_tensor(value) and value.shape == (2, 6):
            assert torch.equal(carried["1.weight"][key], value[:, rows])
    optimizer = make_optimizer(Recipe(optimizer=name, lr=0.01), small)  # type: ignore[arg-type]
    load_state(optimizer, small, carried)
    small(torch.ones(2, 4)).sum().backward()
    optimizer.step()


def test_kept_along_two_axes() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    part = Kept("w", {0: torch.tensor([2, 0]), 1: torch.tensor([5])}).of(whole)
    assert part.tolist() == [[17.0], [5.0]]
