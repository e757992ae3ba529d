"""Small data and clusterers for this folder's tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray


@pytest.fixture
def blobs() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three well separated groups of four values."""
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0, 0, 0], [6, 0, 6, 0], [0, 6, 0, 6]], dtype=np.float32)
    y = np.arange(150) % 3
    return (centres[y] + draw.normal(0, 0.5, (150, 4))).astype(np.float32), y


@pytest.fixture
def latents() -> torch.Tensor:
    """Overlapping groups in three dimensions, far from 0."""
    draw = torch.Generator().manual_seed(1)
    centres = torch.tensor([[100.0, 0, 0], [102.0, 1, 0], [100.0, 3, 2], [97.0, 0, 1]])
    return centres[torch.arange(400) % 4] + torch.randn(400, 3, generator=draw)
