"""What these tests share: data of plain noise, and networks cut by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data import from_arrays
from nervure.data.dataset import Dataset
from nervure.nets.structure.slices import narrow

Noise = Callable[..., Dataset]


@pytest.fixture
def noise() -> Noise:
    """Data of a shape, standard normal, all of it for training, with two classes or none."""

    def make(*shape: int, n: int = 80, labels: bool = True) -> Dataset:
        x = np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)
        y = np.arange(n) % 2 if labels else None
        return from_arrays(x, y, standardize=False, validation=0, test=0)

    return make


def thinned(net: nn.Module, cuts: Sequence[tuple[str, str, Sequence[int]]]) -> nn.Module:
    """A copy in which sides of modules keep only some places: (module, side, places)."""
    small = copy.deepcopy(net)
    for name, side, keep in cuts:
        narrow(small.get_submodule(name), side, torch.tensor(keep))  # type: ignore[arg-type]
    return small


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network with weights of its own draw."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


@pytest.fixture(name="thinned")
def _thinned() -> Callable[..., nn.Module]:
    return thinned


@pytest.fixture(name="seeded")
def _seeded() -> Callable[..., nn.Module]:
    return seeded
