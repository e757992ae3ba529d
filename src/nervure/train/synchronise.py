"""Batch norm over all processes: statistics of the whole global batch, on any device.

torch's own synchronised batch norm refuses CPU tensors. Here sums and counts are all-reduced in one
differentiable collective, so that two processes see what one process sees.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["GroupBatchNorm", "count_statistics", "desynchronise", "shared_rows", "shared_sum", "synchronise"]


class _AllSum(torch.autograd.Function):
    """Sum over ranks; its gradient is the sum over ranks of the gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def shared_sum(value: Tensor) -> Tensor:
    """A tensor added up over all processes, through which gradients flow; itself when there is one.

    >>> shared_sum(torch.ones(2))
    tensor([1., 1.])
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    total: Tensor = _AllSum.apply(value)
    return total


def shared_rows(rows: Tensor, counted: bool = True) -> Tensor:
    """The rows (n, ...) of all processes, the same on each, through which gradients flow; its own when there is one.

    Rows of a process that is not ``counted`` are left out.

    >>> shared_rows(torch.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    mine = rows if counted else rows[:0]
    sizes = rows.new_zeros(dist.get_world_size(), dtype=torch.int64)
    sizes[dist.get_rank()] = len(mine)
    dist.all_reduce(sizes)
    before, after = int(sizes[: dist.get_rank()].sum()), int(sizes[dist.get_rank() + 1 :].sum())
    shape = rows.shape[1:]
    return shared_sum(torch.cat([mine.new_zeros(before, *shape), mine, mine.new_zeros(after, *shape)]))


class GroupBatchNorm(_BatchNorm):
    """Batch norm whose training statistics span all processes of the group.

    It holds the parameters and buffers of the module it stands in for, under the same names. ``counted`` is
    False on a process that has no sample of this batch: it takes part, but adds nothing to the statistics.
    """

    counted: bool = True

    def __init__(self, source: _BatchNorm) -> None:
        nn.Module.__init__(self)
        self.source_type = type(source)
        self.__dict__.update({key: value for key, value in source.__dict__.items() if not key.startswith("_")})
        self._parameters = source._parameters
        self._buffers = source._buffers
        self.training = source.training

    def _check_input_dim(self, input: Tensor) -> None:
        """Any rank of input is taken, as the module it stands in for has checked its own."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (n, channels, ...) by statistics of all processes while training."""
        if not (self.training or self.running_mean is None):
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        wide = input.to(torch.float64)
        mine = float(self.counted)
        count = wide.new_tensor([mine * input.numel() / max(1, input.shape[1])])
        packed: Tensor = _AllSum.apply(torch.cat([mine * wide.sum(axes), count]))
        total = packed[-1].clamp(min=1)
        mean = packed[:-1] / total
        variance: Tensor = _AllSum.apply(mine * (wide - mean.view(shape)).square().sum(axes)) / total
        if self.training and self.running_mean is not None and self.running_var is not None:
            self._track(mean.detach(), variance.detach(), float(total.detach()))
        normal = (wide - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        out: Tensor = normal.to(input.dtype)
        return out if self.weight is None else out * self.weight.view(shape) + self.bias.view(shape)

    def _track(self, mean: Tensor, variance: Tensor, total: float) -> None:
        assert self.running_mean is not None and self.running_var is not None
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked or 1)
        unbiased = variance * total / max(1.0, total - 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)


def synchronise(net: nn.Module) -> nn.Module:
    """Replace every batch norm of ``net``, in place, by one that spans the group."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, GroupBatchNorm):
                setattr(module, name, GroupBatchNorm(child))
    return net


def count_statistics(net: nn.Module, counted: bool) -> None:
    """Say whether this process's next batch is real or only keeps it in step with the others.

    It is told to every module with an attribute ``counted``: those that add something up over the group.
    """
    for module in net.modules():
        if isinstance(getattr(module, "counted", None), bool):
            module.counted = counted  # type: ignore[assignment]


def desynchronise(net: nn.Module) -> nn.Module:
    """Undo :func:`synchronise`, in place; from here on every batch is real."""
    count_statistics(net, True)
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, GroupBatchNorm):
                plain = child.source_type.__new__(child.source_type)
                nn.Module.__init__(plain)
                plain.__dict__.update(
                    {
                        key: value
                        for key, value in child.__dict__.items()
                        if not key.startswith("_") and key not in {"source_type", "counted"}
                    }
                )
                plain._parameters, plain._buffers = child._parameters, child._buffers
                setattr(module, name, plain)
    return net
