"""The compiled form of SSIM: what the plain form gives, and only where numba is."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import MissingExtra
from nervure.features import ssim
from nervure.features.ssim import Filters, Windows
from nervure.features.ssim_kernels import describe, pack, summed


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 20), st.integers(1, 9), st.integers(0, 10**6))
def test_any_number_of_images_and_windows(k: int, n: int, windows: int, size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(count, 1, windows, size, 1, generator=generator) for count in (k, n))
    found = summed(describe(x, 4.0, sample=True), pack(describe(y, 4.0, sample=True)), 4.0)[:, :n]
    rows, lanes = (Windows.of(one[:, 0, :, :, 0].double(), sample=True) for one in (x, y))
    np.testing.assert_allclose(found / windows, ssim._plain(rows, lanes, 4.0) / windows, atol=2e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 65])
def test_half_of_the_work_gives_the_whole_matrix(n: int, threads: int) -> None:
    torch.set_num_threads(threads)
    rows = describe(torch.randn(n, 1, 30, 3, 3, generator=torch.Generator().manual_seed(0)), 4.0, sample=True)
    lanes = pack(rows)
    whole = summed(rows, lanes, 4.0)[:, :n]
    assert torch.equal(summed(rows, lanes, 4.0, symmetric=True)[:, :n].triu(), whole.triu())
    assert torch.equal(whole, whole.T)


def test_large_means_cost_no_digits() -> None:
    """Variances around a mean a thousand times larger: E[x^2] - E[x]^2 would lose them in float32."""
    weight = 10 + 0.01 * torch.randn(6, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    exact = Filters(weight.double(), compiled=False).matrix
    np.testing.assert_allclose(Filters(weight, compiled=True).matrix, exact, atol=1e-4)


def test_says_how_to_get_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nervure.features.ssim_kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    layer = Filters(torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)), compiled=True)
    with pytest.raises(MissingExtra, match=r"nervure\[fast\]"):
        _ = layer.matrix
