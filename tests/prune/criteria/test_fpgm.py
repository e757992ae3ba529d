from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.spatial.distance import cdist

from nervure.prune.criteria.fpgm import distance_sums


def test_by_hand(toy: Any) -> None:
    assert toy("fpgm").scores.tolist() == [3.0, 5.0, 4.0]


def test_scipy_and_translation() -> None:
    filters = torch.randn(20, 27, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = distance_sums(filters)
    assert ours.tolist() == pytest.approx(cdist(filters, filters).sum(1).tolist())
    assert torch.allclose(distance_sums(filters + 5.0), ours)


def test_near_copies_keep_their_digits() -> None:
    base = torch.full((2, 9), 100.0, dtype=torch.float64)
    base[1, 0] += 1e-9
    assert distance_sums(base).tolist() == pytest.approx([1e-9, 1e-9], rel=1e-4)
