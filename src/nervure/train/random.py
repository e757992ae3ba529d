"""Random states: forked around work, and set anew for each step, so that nothing leaks in or out."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["forked", "seed_step"]


@contextlib.contextmanager
def forked() -> Iterator[None]:
    """Leave the caller's generators (Python, numpy, torch, each CUDA device) as they were.

    >>> before = torch.get_rng_state()
    >>> with forked():
    ...     _ = torch.manual_seed(3)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002 (the caller's own generator)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)  # noqa: NPY002


def seed_step(seed: int, epoch: int, step: int, rank: int = 0) -> None:
    """Set all generators from the step's own number, so that a resumed step draws what an unbroken one draws."""
    value = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + step * 0x94D049BB133111EB + rank) % 2**63
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)
    np.random.seed(value % 2**32)  # noqa: NPY002
    random.seed(value)
