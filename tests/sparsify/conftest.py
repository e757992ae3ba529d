"""A few digits, and small networks of many kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from nervure import data
from nervure.data import Dataset
from zoo import make


@pytest.fixture(scope="session")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(500))


@pytest.fixture
def zoo() -> Callable[[str], tuple[nn.Module, tuple[int, ...]]]:
    return make


@pytest.fixture
def worked() -> nn.Sequential:
    """The worked example of spec isparse, 2.6, without biases, in double precision."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).double().requires_grad_(False)
    net[0].weight[:] = torch.tensor([[1.0, -2.0], [3.0, 0.5]], dtype=torch.float64)
    net[1].weight[:] = torch.tensor([[0.5, -1.0], [2.0, 0.1]], dtype=torch.float64)
    return net
