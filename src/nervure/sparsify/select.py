"""Which edges stay: exactly so many of the highest scores, or so many of each group of neighbours.

Scores are compared at five significant digits, then by index, so that a decision does not hang on the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.judge import rounded

__all__ = ["fits", "highest", "highest_of_all", "kept_count", "patterned"]

# Values that are equal at five digits lie no further apart than this share of them.
_NEAR = 2e-4


def kept_count(edges: int, sparsity: float) -> int:
    """``n - round(s n)`` edges stay (spec isparse, 2.5).

    >>> kept_count(6, 0.5), kept_count(6, 1.0), kept_count(6, 0.0)
    (3, 0, 6)
    """
    return edges - round(sparsity * edges)


def highest(scores: Tensor, keep: int) -> Tensor:
    """A mask of ``scores``' shape, True for exactly the ``keep`` highest; of equal ones the first stay.

    It decides as :func:`nervure.judge.select` does, but looks for the lowest score that stays and sorts only what
    lies next to it.

    >>> highest(torch.tensor([[1.0, 3.0], [1.0000001, 2.0]]), 3)
    tensor([[ True,  True],
            [False,  True]])
    """
    count = scores.numel()
    if not 0 <= keep <= count:
        raise InputError(f"cannot keep {keep} of {count} edges")
    if keep in (0, count):
        return torch.full(scores.shape, keep > 0, dtype=torch.bool)
    values = scores.detach().cpu().reshape(-1).numpy()
    last = float(np.partition(values, count - keep)[count - keep])
    near = _NEAR * abs(last)
    stays = values > last + near
    close = np.flatnonzero((values >= last - near) & ~stays)
    order = np.argsort(-rounded(torch.from_numpy(values[close])).numpy(), kind="stable")
    stays[close[order[: keep - int(stays.sum())]]] = True
    return torch.from_numpy(stays).view(scores.shape)


def highest_of_all(scores: Mapping[str, Tensor], keep: int) -> dict[str, Tensor]:
    """Masks by layer with ``keep`` edges True in all, ranked together; of equal ones those of the first layers stay.

    >>> highest_of_all({"a": torch.tensor([1.0, 4.0]), "b": torch.tensor([3.0, 2.0])}, 2)
    {'a': tensor([False,  True]), 'b': tensor([ True, False])}
    """
    sizes = [one.numel() for one in scores.values()]
    together = highest(torch.cat([one.detach().cpu().reshape(-1) for one in scores.values()]), keep).split(sizes)
    return {name: part.view(one.shape) for (name, one), part in zip(scores.items(), together, strict=True)}


def fits(shape: torch.Size | tuple[int, ...], group: int) -> bool:
    """Whether a weight's inputs come in whole groups of so many.

    >>> fits((3, 8), 4), fits((3, 1, 5, 5), 4)
    (True, False)
    """
    return len(shape) > 1 and shape[1] > 0 and shape[1] % group == 0


def patterned(scores: Tensor, pattern: tuple[int, int]) -> Tensor:
    """A mask that keeps the n highest of every m neighbours along the inputs (axis 1), at each kernel position.

    >>> patterned(torch.tensor([[4.0, 1.0, 2.0, 3.0]]), (2, 4))
    tensor([[ True, False, False,  True]])
    """
    stay, group = pattern
    last = scores.detach().cpu().movedim(1, -1)
    blocks = last.reshape(-1, group)
    order = (-rounded(blocks).view(blocks.shape)).argsort(dim=1, stable=True)
    stays = torch.zeros(blocks.shape, dtype=torch.bool).scatter_(1, order[:, :stay], True)
    return stays.view(last.shape).movedim(-1, 1).contiguous()
