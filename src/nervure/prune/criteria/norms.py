"""Size of a unit's own weights: L1 and L2 norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.prune.criteria.verdict import verdict

__all__ = ["L1", "L2", "by_unit", "rows", "sums"]


def by_unit(weight: Tensor, module: nn.Module) -> Tensor:
    """Weights (units, channels, *kernel); a transposed convolution stores them inputs first.

    >>> module = torch.nn.ConvTranspose2d(4, 6, 3, groups=2)
    >>> module.weight.shape, by_unit(module.weight, module).shape
    (torch.Size([4, 3, 3, 3]), torch.Size([6, 2, 3, 3]))
    """
    if not getattr(module, "transposed", False):
        return weight
    groups = int(module.groups)  # type: ignore[arg-type]
    inputs, units, *kernel = weight.shape
    split = weight.reshape(groups, inputs // groups, units, *kernel)
    return split.transpose(1, 2).flatten(0, 1)


def rows(layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    """(units, values): the incoming weights of each unit.

    >>> conv = torch.nn.Conv2d(3, 4, 3)
    >>> rows(Layer("conv", conv, 4), dict(conv.named_parameters())).shape
    torch.Size([4, 27])
    """
    weight = weights.get("weight")
    if weight is None:
        weight = getattr(layer.module, "weight", None)
    weight = None if weight is None else by_unit(weight, layer.module)
    if weight is None or len(weight) != layer.units:
        raise InputError(f"layer {layer.name!r} has no weight with a row for each unit; leave it out")
    return weight.detach().flatten(1)


def sums(values: Tensor, order: int = 1) -> Tensor:
    """(units,) norm of each row, added up in float64 without a copy of the weights.

    >>> sums(torch.tensor([[3.0, -4.0]])), sums(torch.tensor([[3.0, -4.0]]), 2)
    (tensor([7.], dtype=torch.float64), tensor([5.], dtype=torch.float64))
    """
    wide = values if values.is_floating_point() and values.dtype != torch.float16 else values.to(torch.float32)
    norm: Tensor = torch.linalg.vector_norm(wide, order, dim=1, dtype=torch.float64)
    return norm


@dataclass(frozen=True)
class L1(Criterion):
    """Sum of the magnitudes of a unit's incoming weights (spec ssim-kmeans-pruning, 7.1; PFEC in isparse, 2.10).

    >>> layer = torch.nn.Linear(2, 2)
    >>> weight = torch.tensor([[1.0, -2.0], [0.5, 0.5]])
    >>> L1().judge(Layer("fc", layer, 2), {"weight": weight}, {}).scores
    tensor([3., 1.], dtype=torch.float64)
    """

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        return verdict(layer, "L1 norm", sums(rows(layer, weights)))


@dataclass(frozen=True)
class L2(Criterion):
    """Euclidean norm of a unit's incoming weights (spec majority-voting-pruning, 3: filter L2).

    >>> layer = torch.nn.Linear(2, 1)
    >>> L2().judge(Layer("fc", layer, 1), {"weight": torch.tensor([[3.0, -4.0]])}, {}).scores
    tensor([5.], dtype=torch.float64)
    """

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        return verdict(layer, "L2 norm", sums(rows(layer, weights), 2))
