"""What criteria of edges have in common: the weight that they judge, and scores of its shape."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.judge import Layer

__all__ = ["by_input", "by_output", "magnitude"]


def magnitude(layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    """Magnitudes of a layer's weight in its own shape, in single precision at least.

    >>> magnitude(Layer("fc", torch.nn.Linear(1, 1), 1), {"weight": torch.tensor([[-2.0]])})
    tensor([[2.]])
    """
    weight = weights.get("weight")
    if weight is None or weight.ndim < 2:
        raise InputError(f"layer {layer.name!r} holds no weight whose edges could be judged; leave it out")
    size = weight.detach().abs()
    return size if size.dtype in (torch.float32, torch.float64) else size.to(torch.float32)


def by_output(values: Tensor, weight: Tensor) -> Tensor:
    """``values`` (units,) as factors of a weight's edges, by the unit that they lead to.

    >>> by_output(torch.tensor([1.0, 2.0]), torch.ones(2, 3)).shape
    torch.Size([2, 1])
    """
    return values.to(weight).view(-1, *[1] * (weight.ndim - 1))


def by_input(values: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    """``values`` (inputs,) as factors of a weight's edges, by the input that they come from, inside its group.

    >>> by_input(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.ones(2, 2, 1), groups=2).flatten(1)
    tensor([[1., 2.],
            [3., 4.]])
    """
    rows = values.to(weight).view(groups, -1).repeat_interleave(len(weight) // groups, 0)
    return rows.view(*rows.shape, *[1] * (weight.ndim - 2))
