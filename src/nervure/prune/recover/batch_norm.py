"""Batch norm recalibration: running means and variances are measured anew on the cut network."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nervure.errors import InputError
from nervure.nets.seed import seeded
from nervure.objectives.call import call
from nervure.observe.borrowed import borrowed
from nervure.prune.recover.recovery import Given

__all__ = ["Pooled", "Recalibration"]


class Pooled:
    """Mean and variance of units over batches, merged as Chan, Golub and LeVeque (1983) do, in float64.

    >>> pooled = Pooled()
    >>> pooled.update(torch.tensor([[1.0], [3.0]]))
    >>> pooled.update(torch.tensor([[5.0]]))
    >>> pooled.mean.tolist(), pooled.variance.tolist()
    ([3.0], [4.0])
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def update(self, value: Tensor) -> None:
        """Take in (n, units, ...)."""
        rows = value.detach().to(torch.float64).transpose(0, 1).flatten(1)
        count, mean = rows.shape[1], rows.mean(1)
        squares = (rows - mean[:, None]).square().sum(1)
        if not self.count:
            self.count, self.mean, self._squares = count, mean, squares
            return
        total = self.count + count
        gap = mean - self.mean
        self._squares = self._squares + squares + gap.square() * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """(units,) unbiased, as batch norm keeps it."""
        return self._squares / max(1, self.count - 1)


@dataclass(frozen=True)
class Recalibration:
    """One pass in which each batch norm normalises by its batch, and its statistics are pooled over all samples.

    Everything else runs as in evaluation. Means and variances are those of all samples together, not averages of
    batches; what a norm reads still depends, slightly, on the batches of the norms before it.

    >>> Recalibration()
    Recalibration()
    """

    def __call__(self, net: nn.Module, given: Given) -> nn.Module:
        """Measure, then write all statistics at once; a network without batch norm stays as it is."""
        norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and _tracks(module)]
        if not norms:
            return net
        if len(given.at) < 2:
            raise InputError("batch-norm: a variance needs 2 or more samples; give samples=200")
        pooled = {norm: Pooled() for norm in norms}
        kept = {norm: _statistics(norm) for norm in norms}

        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            pooled[module].update(args[0])  # type: ignore[index]

        with ExitStack() as stack:
            device = stack.enter_context(borrowed(net))
            stack.enter_context(torch.no_grad())
            for norm in norms:
                stack.callback(norm.register_forward_pre_hook(before).remove)
                norm.train()
            for batch in given.batches(least=1):
                with seeded(0):
                    call(net, batch.to(device))
        for norm, seen in pooled.items():
            mean, variance, tracked = kept[norm]
            enough = seen.count > 1
            _write(norm, seen.mean if enough else mean, seen.variance if enough else variance, tracked)
        return net


def _tracks(norm: _BatchNorm) -> bool:
    return norm.running_mean is not None and norm.running_var is not None


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor, Tensor | None]:
    assert norm.running_mean is not None and norm.running_var is not None
    tracked = norm.num_batches_tracked
    return norm.running_mean.clone(), norm.running_var.clone(), None if tracked is None else tracked.clone()


def _write(norm: _BatchNorm, mean: Tensor, variance: Tensor, tracked: Tensor | None) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    if tracked is not None and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.copy_(tracked)
