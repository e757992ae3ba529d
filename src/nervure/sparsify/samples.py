"""The training samples that a criterion looks at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data.counter import order
from nervure.data.dataset import Batch, Dataset, Indices
from nervure.errors import InputError
from nervure.nets.origin import origin_of
from nervure.objectives.call import answer
from nervure.observe.borrowed import borrowed

__all__ = ["drawn", "fitting"]

_DRAW = 0x15BA


def drawn(ds: Dataset, count: int | None, seed: int, *, labelled: bool = False) -> Indices:
    """Positions of ``count`` random training samples, the same for the same seed; None for all.

    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.zeros((60, 2)), np.arange(60) % 2, validation=0, test=0)
    >>> len(drawn(ds, 10, seed=0)), len(drawn(ds, None, seed=0))
    (10, 60)
    """
    if count is not None and (not isinstance(count, int) or count < 1):
        raise InputError(f"samples = {count!r}; give a whole number from 1")
    at = ds.indices("train")
    if labelled and ds.task == "classification" and ds.y is not None:
        at = at[ds.y[at].astype(np.int64) >= 0]
    if not len(at):
        what = "sample has a known label" if labelled else "sample is there to look at"
        raise InputError(f"{ds.source}: no training {what}")
    if count is None or count >= len(at):
        return at
    return np.sort(at[order(len(at), seed, _DRAW)[:count]])


def fitting(net: nn.Module, example: Tensor) -> None:
    """Refuse samples that the network cannot read, in one line.

    >>> fitting(nn.Linear(2, 1), torch.zeros(1, 3))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    nervure.errors.InputError: Linear cannot read samples of shape (3,): ...
    """
    origin = origin_of(net)
    shape = tuple(example.shape[1:])
    if origin is not None and tuple(origin.base.in_shape) != shape and len(origin.base.in_shape) != len(shape):
        built = tuple(origin.base.in_shape)
        raise InputError(f"the network was built for samples of shape {built}, and these are {shape}")
    try:
        with borrowed(net) as device, torch.inference_mode():
            answer(net, Batch(example[:1].to(device), None, torch.arange(1)))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        said = str(error).splitlines()[0]
        raise InputError(f"{type(net).__name__} cannot read samples of shape {shape}: {said}") from error
