"""What each unit contributes to the outputs of the layer that reads it, at sampled places."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.crossgram import Window, picked_positions, scrambled
from nervure.observe.layout import steps
from nervure.observe.sums import Sums, count
from nervure.prune.criteria.readers import Reader

__all__ = ["Contributions", "ContributionsResult"]

FEW = 4096


@dataclass(frozen=True, eq=False)
class ContributionsResult:
    """``gram`` (units, units) float64, the sum of x xT over ``count`` sampled outputs.

    x[c] is what unit c adds to an output, so ``gram @ 1`` is the product with their sum.
    """

    gram: Tensor
    count: int


class Contributions(Sums):
    """Products of the contributions of units to sampled outputs of a reader (spec majority-voting-pruning, 12).

    Parameters
    ----------
    reader : Reader
        Linear, Conv1d or Conv2d. Its output is the site; its weights are read at each update.
    per_example : int
        Places of each example: an output channel and a position, drawn by ``seed`` and the example's index.
    seed : int

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> _ = linear.weight.data.copy_(torch.tensor([[1.0, 3.0]]))
    >>> one = Contributions(Reader("fc", linear, 0, 2), per_example=1)
    >>> x = torch.tensor([[2.0, 1.0]])
    >>> one.update(linear(x), None, incoming=x)
    >>> one.result().gram
    tensor([[4., 6.],
            [6., 9.]], dtype=torch.float64)
    """

    needs_input = True

    def __init__(self, reader: Reader, per_example: int = 10, seed: int = 0) -> None:
        super().__init__()
        if per_example < 1:
            raise InputError(f"per_example = {per_example}; give 1 or more places")
        self.reader = reader
        self.window = Window.of(reader.module)
        self.per_example = per_example
        self.seed = seed

    @property
    def key(self) -> Hashable:  # noqa: D102
        one = self.reader
        return ("contributions", one.name, one.start, one.columns, one.spread, self.per_example, self.seed)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        if incoming is None:
            raise InputError("contributions need what the reader was given; pass incoming=")
        n, outputs, *sides = activation.shape
        index = torch.arange(n) if batch is None else batch.index.repeat_interleave(steps(n, len(batch.index)))
        positions = math.prod(sides)
        drawn = drawn_places(index.to(incoming.device), outputs * positions, self.per_example, self.seed)
        place = (drawn % positions).flatten()
        inputs = gathered(incoming.detach(), self.window, place.view(n, -1), tuple(sides))
        x = self._each(inputs, (drawn // positions).flatten())
        self.add(gram=x.T @ x, count=count(len(x)))

    def _each(self, inputs: Tensor, channel: Tensor) -> Tensor:
        """(places, units) contributions from (places, inputs, kernel) windows to output ``channel`` (places,)."""
        reader = self.reader
        weight = _full_weight(reader.module)[:, reader.start : reader.start + reader.columns]
        mine = inputs[:, reader.start : reader.start + reader.columns].to(torch.float64)
        products = weight[channel] * mine
        return products.reshape(len(products), reader.units, -1).sum(2)

    def result(self) -> ContributionsResult:  # noqa: D102
        return ContributionsResult(self.total("gram"), int(self.total("count")))


def drawn_places(index: Tensor, total: int, wanted: int, seed: int) -> Tensor:
    """(n, wanted) numbers below ``total`` for the examples at ``index`` (n,): an output channel and a position in one.

    They follow from seed and example alone. Without repeats where there are few; of many, a repeat is rare and
    costs nothing but itself.

    >>> drawn_places(torch.tensor([3]), 4, 10, seed=0).sort().values
    tensor([[0, 1, 2, 3]])
    """
    if total <= FEW:
        return picked_positions(index, total, min(wanted, total), seed)
    stride = -0x61C8864680B583EB
    sample = scrambled(index.to(torch.int64) * stride + seed)
    draw = torch.arange(1, wanted + 1, device=index.device) * stride
    return scrambled(sample[:, None] + draw).remainder(total)


def gathered(incoming: Tensor, window: Window, place: Tensor, sides: tuple[int, ...]) -> Tensor:
    """(n * wanted, inputs, kernel) windows at the output positions ``place`` (n, wanted) of a map of ``sides``.

    >>> x = torch.arange(5.0).view(1, 1, 5)
    >>> gathered(x, Window((2,), (2,), ((0, 0),), (1,)), torch.tensor([[1]]), (2,))
    tensor([[[2., 3.]]])
    """
    n, wanted = place.shape
    row = torch.arange(n, device=place.device).repeat_interleave(wanted)
    if not window.kernel:
        flat = incoming.reshape(*incoming.shape[:2], -1)
        return flat[row, :, place.flatten()].unsqueeze(2)
    mode = "constant" if window.mode == "zeros" else window.mode
    sizes = [side for pair in reversed(window.padding) for side in pair]
    padded = F.pad(incoming, sizes, mode=mode) if any(sizes) else incoming
    index: list[Tensor] = []
    rest = place.flatten()
    axes = len(window.kernel)
    for axis in reversed(range(axes)):
        first = (rest % sides[axis]) * window.stride[axis]
        rest = rest // sides[axis]
        taps = torch.arange(window.kernel[axis], device=place.device) * window.dilation[axis]
        shape = [len(first)] + [1] * axes
        shape[1 + axis] = len(taps)
        index.insert(0, (first[:, None] + taps).view(shape))
    # Advanced indices on both sides of the channel axis: it comes last.
    at: tuple[Tensor | slice, ...] = (row.view(-1, *[1] * axes), slice(None), *index)
    return padded[at].flatten(1, -2).transpose(1, 2)


def _full_weight(module: nn.Module) -> Tensor:
    """(outputs, inputs, kernel) float64, with zeros between groups."""
    assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    weight = module.weight.detach().to(torch.float64)
    weight = weight.unsqueeze(2) if isinstance(module, nn.Linear) else weight.flatten(2)
    groups = getattr(module, "groups", 1)
    if groups == 1:
        return weight
    outputs, inputs, kernel = weight.shape
    full = weight.new_zeros(groups, outputs // groups, groups, inputs, kernel)
    for group, part in enumerate(weight.view(groups, -1, inputs, kernel)):
        full[group, :, group] = part
    return full.reshape(outputs, groups * inputs, kernel)
