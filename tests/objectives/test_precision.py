from __future__ import annotations

import pytest
import torch

from nervure.objectives.precision import at_least_single, without_autocast


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.int64, torch.float32),
        (torch.bool, torch.float32),
    ],
)
def test_precision_kept(given_: torch.dtype, kept: torch.dtype) -> None:
    x = torch.ones(2, dtype=given_)
    found = at_least_single(x)
    assert found.dtype == kept
    assert (found is x) == (given_ == kept)


def test_products_stay_single_and_autocast_goes_on_after() -> None:
    a = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with without_autocast(a):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    with without_autocast(a):
        assert (a @ a).dtype == torch.float32
