"""Optimizers made from a recipe, and their state by parameter name, so that it can follow a changed network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from nervure.train.recipe import Recipe

__all__ = ["Change", "Kept", "carry", "load_state", "make_optimizer", "state_by_name"]

States = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Kept:
    """Where a new parameter comes from: an old one, and which positions of it along which axes."""

    name: str
    positions: Mapping[int, Tensor] = field(default_factory=dict)

    def of(self, tensor: Tensor) -> Tensor:
        """The kept part of a tensor of the old parameter's shape."""
        for axis, at in self.positions.items():
            tensor = tensor.index_select(axis, at.to(tensor.device))
        return tensor


@dataclass(frozen=True, eq=False)
class Change:
    """A new network in the middle of training, and where each of its parameters comes from.

    Parameters missing from ``kept`` start with fresh optimizer state.
    """

    net: nn.Module
    kept: Mapping[str, Kept] = field(default_factory=dict)


def make_optimizer(recipe: Recipe, module: nn.Module) -> Optimizer:
    """The recipe's optimizer over all of a module's parameters that train."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        return SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay)
    if recipe.optimizer == "rmsprop":
        return RMSprop(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=decay)
    kind = Adam if recipe.optimizer == "adam" else AdamW
    return kind(parameters, lr=recipe.lr, weight_decay=decay)


def state_by_name(optimizer: Optimizer, module: nn.Module) -> States:
    """Each parameter's optimizer state under the parameter's name."""
    return {
        name: dict(optimizer.state[parameter])
        for name, parameter in module.named_parameters()
        if parameter in optimizer.state
    }


def load_state(optimizer: Optimizer, module: nn.Module, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Set optimizer state by parameter name; tensors go where the parameter is."""
    for name, parameter in module.named_parameters():
        if name not in states:
            continue
        optimizer.state[parameter] = {
            key: value.to(parameter.device) if isinstance(value, Tensor) and value.ndim else value
            for key, value in states[name].items()
        }


def carry(states: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, torch.Size], change: Change) -> States:
    """Optimizer state of the old network cut to the new one: tensors of the parameter's shape follow its map."""
    carried: States = {}
    for name, kept in change.kept.items():
        if kept.name not in states:
            continue
        carried[name] = {
            key: kept.of(value) if isinstance(value, Tensor) and value.shape == shapes[kept.name] else value
            for key, value in states[kept.name].items()
        }
    return carried
