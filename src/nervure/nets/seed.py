"""Random state forked around a block: seeded inside, as it was outside."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of torch, numpy and Python inside the block, and put them back after it.

    CUDA generators are touched only where CUDA is already in use.

    >>> with seeded(3):
    ...     first = torch.rand(2)
    >>> with seeded(3):
    ...     again = torch.rand(2)
    >>> torch.equal(first, again)
    True
    """
    cuda = torch.cuda.is_initialized()
    devices = list(range(torch.cuda.device_count())) if cuda else []
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - a user's function may draw from it
    with torch.random.fork_rng(devices=devices):
        try:
            # torch.manual_seed would also queue a seed for CUDA, which would outlive the block.
            torch.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.manual_seed_all(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
