"""Compiled kernels are made ready before any test's own time is counted."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    try:
        from nervure.observe import kernels
    except ImportError:
        return
    for dtype in (torch.float32, torch.float64):
        kernels.summarise(torch.ones(1, 1, 1, dtype=dtype))
