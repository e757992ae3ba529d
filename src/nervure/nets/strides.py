"""Convolutions of stride 2 and their mirror: how many for a size of map, which kernels, which padding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nervure.errors import InputError

__all__ = ["down_plan", "kernels_for", "mirror", "stages_for", "units_for"]

Sides = tuple[int, ...]
Plan = list[tuple[Sides, Sides]]

SMALL = 20
POSITIONS = 16


def down_plan(sides: Sides, kernels: Sequence[int]) -> Plan:
    """For each layer of stride 2: its padding and the sides of its output (spec deepcluster, 2.1).

    Padding is (kernel - 1) // 2, and none in the last layer where its map has room for the kernel. A side
    smaller than its kernel is padded until the kernel fits.

    >>> down_plan((28,), (5, 5, 3))
    [((2,), (14,)), ((2,), (7,)), ((0,), (3,))]
    """
    layers = []
    for at, kernel in enumerate(kernels):
        last = at == len(kernels) - 1
        padding = tuple(_padding(side, kernel, last) for side in sides)
        sides = tuple((side + 2 * pad - kernel) // 2 + 1 for side, pad in zip(sides, padding, strict=True))
        layers.append((padding, sides))
    return layers


def _padding(side: int, kernel: int, last: bool) -> int:
    if last and side >= kernel:
        return 0
    return max((kernel - 1) // 2, math.ceil((kernel - side) / 2))


def mirror(small: Sides, large: Sides, kernel: int, padding: Sides) -> tuple[Sides, Sides]:
    """Padding and output padding with which a transposed convolution leads from ``small`` to ``large``.

    >>> mirror((7,), (14,), 5, (2,))
    ((2,), (1,))
    """
    pads, extra = [], []
    for low, high, pad in zip(small, large, padding, strict=True):
        grown = (low - 1) * 2 + kernel
        # A larger decoder kernel may need more padding than the encoder had; output padding is 0 or 1.
        pad = pad if 0 <= high - grown + 2 * pad <= 1 else max(0, math.ceil((grown - high) / 2))
        if not 0 <= high - grown + 2 * pad <= 1:
            raise InputError(f"conv-autoencoder: a decoder kernel of {kernel} cannot lead from {low} to {high} pixels")
        pads.append(pad)
        extra.append(high - grown + 2 * pad)
    return tuple(pads), tuple(extra)


def stages_for(sides: Sides) -> int:
    """How many layers of stride 2: three, and more until at most 16 positions (4x4) remain to be flattened.

    >>> [stages_for((side, side)) for side in (4, 16, 28, 32, 64, 96, 224)], stages_for((720,))
    ([3, 3, 3, 3, 4, 5, 6], 6)
    """
    stages = 3
    while math.prod(down_plan(sides, kernels_for(sides, stages)[0])[-1][1]) > POSITIONS:
        stages += 1
    return stages


def kernels_for(sides: Sides, stages: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernels of the encoder and of the decoder, as printed for each size (spec deepcluster, 2.1).

    Up to 20 pixels those of USPS, above them those of MNIST; between the first two layers and the last,
    kernels of 3. The last kernel is 2 on a map of even sides and 3 on an odd one, so that it covers the map.

    >>> kernels_for((28, 28), 3), kernels_for((16, 16), 3), kernels_for((32, 32), 3)
    (((5, 5, 3), (3, 5, 5)), ((4, 4, 2), (2, 3, 3)), ((5, 5, 2), (2, 5, 5)))
    """
    first = 4 if max(sides) <= SMALL else 5
    before = [first if at < 2 else 3 for at in range(stages - 1)]
    # One more layer stands for the last, so that each of these keeps its padding.
    left = down_plan(sides, [*before, 1])[-2][1] if before else sides
    last = 3 if any(side % 2 for side in left) else 2
    back = [3 if kernel == 4 else kernel for kernel in reversed(before)]
    return (*before, last), (last, *back)


def units_for(stages: int) -> tuple[int, ...]:
    """32, 64 and 128 units, and 128 in every further layer.

    >>> units_for(5)
    (32, 64, 128, 128, 128)
    """
    return ((32, 64) + (128,) * stages)[:stages]
