"""Statistics that need a gradient: Taylor's product with the activation, and the mean gradient."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.summary import flat
from nervure.observe.sums import Sums, count

__all__ = ["GradientTimesActivation", "MeanGradient", "MeanGradientResult"]


def _required(gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise InputError("this statistic needs a gradient; pass gradient=, or collect it with an objective")
    return flat(gradient).to(torch.float64)


class GradientTimesActivation(Sums):
    """Taylor importance: mean over examples of ``|sum over positions of activation * gradient|``.

    The gradient is that of an example's own loss (spec majority-voting-pruning, 3: extra criteria).

    >>> taylor = GradientTimesActivation()
    >>> taylor.update(torch.tensor([[1.0, 2.0]]), None, gradient=torch.tensor([[3.0, -1.0]]))
    >>> taylor.result()
    tensor([3., 2.], dtype=torch.float64)
    """

    needs_gradient = True

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("gradient-times-activation",)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        product = (_required(gradient) * flat(activation)).sum(2)
        self.add(total=product.abs().sum(0), examples=count(len(product)))

    def result(self) -> Tensor:
        """(units,) float64."""
        return self.total("total") / self.total("examples")


@dataclass(frozen=True, eq=False)
class MeanGradientResult:
    """(units,) float64 means over examples and positions: of gradients, and of their magnitudes."""

    signed: Tensor
    absolute: Tensor


class MeanGradient(Sums):
    """Mean gradient of each unit's activation, signed and absolute (spec majority-voting-pruning, 12).

    >>> mean = MeanGradient()
    >>> mean.update(torch.zeros(1, 1, 2), None, gradient=torch.tensor([[[3.0, -1.0]]]))
    >>> mean.result().signed, mean.result().absolute
    (tensor([1.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """

    needs_gradient = True

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("mean-gradient",)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        g = _required(gradient)
        self.add(signed=g.sum((0, 2)), absolute=g.abs().sum((0, 2)), count=count(g.shape[0] * g.shape[2]))

    def result(self) -> MeanGradientResult:  # noqa: D102
        number = self.total("count")
        return MeanGradientResult(self.total("signed") / number, self.total("absolute") / number)
