"""CrossGram: the normal equations that express a layer's output by the patches of its input."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.layout import steps
from nervure.observe.sums import Sums, count

__all__ = ["CrossGram", "CrossGramResult", "Window", "patches", "picked_positions", "scrambled"]

ROWS = 1 << 22  # values of patches held at a time, in float64: 32 MiB


@dataclass(frozen=True)
class Window:
    """How a layer reads its input: kernel, stride, padding before and after, dilation, padding mode.

    A linear layer has no axes: its patch is the input itself.

    >>> Window.of(nn.Conv2d(3, 8, 3, padding=1)).padding
    ((1, 1), (1, 1))
    """

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()
    mode: str = "zeros"

    @classmethod
    def of(cls, layer: nn.Module) -> Self:
        """The window of a linear layer or a convolution over one or two axes."""
        if isinstance(layer, nn.Linear):
            return cls()
        if not isinstance(layer, nn.Conv1d | nn.Conv2d):
            raise InputError(f"{type(layer).__name__} has no patches; give Linear, Conv1d or Conv2d")
        pads = layer._reversed_padding_repeated_twice
        padding = tuple((pads[2 * axis], pads[2 * axis + 1]) for axis in reversed(range(len(pads) // 2)))
        return cls(layer.kernel_size, layer.stride, padding, layer.dilation, layer.padding_mode)


def patches(incoming: Tensor, window: Window) -> Tensor:
    """(n, positions, channels * kernel) patches of (n, channels, ...); the order of a flattened kernel.

    >>> patches(torch.arange(4.0).view(1, 1, 4), Window((2,), (1,), ((0, 0),), (1,)))
    tensor([[[0., 1.],
             [1., 2.],
             [2., 3.]]])
    """
    if not window.kernel:
        return _rows(incoming)
    mode = "constant" if window.mode == "zeros" else window.mode
    padding = [side for pair in reversed(window.padding) for side in pair]
    padded = F.pad(incoming, padding, mode=mode) if any(padding) else incoming
    one = len(window.kernel) == 1
    kernel, stride, dilation = (
        ((1, *sizes) if one else sizes) for sizes in (window.kernel, window.stride, window.dilation)
    )
    return F.unfold(padded.unsqueeze(2) if one else padded, kernel, dilation, 0, stride).transpose(1, 2)


def _rows(values: Tensor) -> Tensor:
    """(n, units, ...) as (n, positions, units)."""
    return values.reshape(*values.shape[:2], -1).transpose(1, 2)


def scrambled(number: Tensor) -> Tensor:
    """Integers to well-mixed integers (SplitMix64's finaliser, in wrapping arithmetic)."""
    for factor, shift in ((-0x40A7B892E31B1A47, 30), (-0x6B2FB644ECCEEE15, 27)):
        number = (number ^ ((number >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return number ^ ((number >> 31) & ((1 << 33) - 1))


def picked_positions(index: Tensor, positions: int, wanted: int, seed: int) -> Tensor:
    """(n, wanted) positions for the samples at ``index`` (n,), without repeats.

    They follow from seed and sample alone, so batches, order and shards don't matter.

    >>> picked_positions(torch.tensor([5]), 100, 3, seed=0).shape
    torch.Size([1, 3])
    """
    stride = -0x61C8864680B583EB
    sample = scrambled(index.to(torch.int64) * stride + seed)
    place = torch.arange(1, positions + 1, device=index.device) * stride
    return scrambled(sample[:, None] + place).argsort(dim=1, stable=True)[:, :wanted]


@dataclass(frozen=True, eq=False)
class CrossGramResult:
    """Sums over ``count`` rows; p is a patch of the input, y the target at its place, both float64.

    ``gram`` (inputs, inputs) = sum of p pᵀ; ``cross`` (inputs, outputs) = sum of p yᵀ; ``inputs`` and
    ``outputs`` the sums of p and y; ``squares`` (outputs,) the sum of y². Inputs are channels x kernel, in
    the order of a flattened kernel. Targets are what the layer returned, its bias included.
    """

    gram: Tensor
    cross: Tensor
    inputs: Tensor
    outputs: Tensor
    squares: Tensor
    count: int

    def error(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(outputs,) sum of squared errors of ``weight`` (outputs, ...) and ``bias``, from the sums alone."""
        w = weight.detach().flatten(1).to(torch.float64)
        b = w.new_zeros(len(w)) if bias is None else bias.detach().to(torch.float64)
        quadratic = ((w @ self.gram) * w).sum(1) - 2 * (w * self.cross.T).sum(1) + self.squares
        return quadratic + 2 * b * (w @ self.inputs - self.outputs) + self.count * b.square()


class CrossGram(Sums):
    """Normal equations of a layer in float64 (spec majority-voting-pruning, 10: A = PᵀP, B = PᵀY).

    Parameters
    ----------
    layer : Module
        Linear, Conv1d or Conv2d; only its window is kept. Groups don't matter: patches hold all channels.
    per_example : int, optional
        Read at most so many positions of each example, drawn by ``seed`` and the example's index; where a network
        folds time into the batch, these positions at each step.
    seed : int
    target : callable, optional
        From a batch to (n, outputs, ...) targets in place of the layer's own output: another network's layer.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> cross = CrossGram(layer)
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    >>> cross.update(layer(x), None, incoming=x)
    >>> cross.result().gram
    tensor([[2., 2.],
            [2., 4.]], dtype=torch.float64)
    """

    needs_input = True

    def __init__(
        self,
        layer: nn.Module,
        *,
        per_example: int | None = None,
        seed: int = 0,
        target: Callable[[Batch], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if per_example is not None and per_example < 1:
            raise InputError(f"per_example = {per_example}; give 1 or more, or None for all positions")
        self.window = Window.of(layer)
        self.per_example = per_example
        self.seed = seed
        self.target = target

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("cross-gram", self.window, self.per_example, self.seed, self.target)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        if incoming is None:
            raise InputError("CrossGram needs what the layer was given; pass incoming=")
        if self.target is not None:
            if batch is None:
                raise InputError("CrossGram with a target needs the batch")
            activation = self.target(batch)
        index = torch.arange(len(activation)) if batch is None else batch.index
        if self.per_example is not None:
            index = index.repeat_interleave(steps(len(activation), len(index)))
        rows = max(1, ROWS // max(1, self._row(incoming, activation)))
        for start in range(0, len(activation), rows):
            at = slice(start, start + rows)
            self._take(patches(incoming[at].detach(), self.window), activation[at].detach(), index[at])

    def _row(self, incoming: Tensor, activation: Tensor) -> int:
        kernel = 1
        for size in self.window.kernel:
            kernel *= size
        return incoming.shape[1] * kernel * activation[0, 0].numel()

    def _take(self, p: Tensor, y: Tensor, index: Tensor) -> None:
        y = _rows(y)
        if p.shape[:2] != y.shape[:2]:
            raise InputError(
                f"{p.shape[1]} patches for {y.shape[1]} positions of the target; give the layer that made it"
            )
        if self.per_example is not None and self.per_example < p.shape[1]:
            places = picked_positions(index.to(p.device), p.shape[1], self.per_example, self.seed)
            rows = torch.arange(len(p), device=p.device)[:, None]
            p, y = p[rows, places], y[rows, places]
        p, y = p.flatten(0, 1).to(torch.float64), y.flatten(0, 1).to(torch.float64)
        self.add(
            gram=p.T @ p,
            cross=p.T @ y,
            inputs=p.sum(0),
            outputs=y.sum(0),
            squares=y.square().sum(0),
            count=count(len(p)),
        )

    def result(self) -> CrossGramResult:  # noqa: D102
        return CrossGramResult(
            self.total("gram"),
            self.total("cross"),
            self.total("inputs"),
            self.total("outputs"),
            self.total("squares"),
            int(self.total("count")),
        )

    def finite(self) -> bool:  # noqa: D102
        sums = (self._sums[name] for name in ("inputs", "outputs") if name in self._sums)
        return all(bool(part.isfinite().all()) for part in sums)
