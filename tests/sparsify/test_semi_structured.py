"""Two of four: which layers follow the pattern is known anywhere; the kernels run where there is such a GPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nervure.errors import InputError
from nervure.sparsify.masked import masked
from nervure.sparsify.semi_structured import _BLOCKS, available, follows, semi_structured, suited


def two_of_four(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """A mask that keeps two random edges of each four."""
    order = torch.rand(rows, columns // 4, 4, generator=torch.Generator().manual_seed(seed)).argsort(2)
    return (order < 2).view(rows, columns)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(2, 4), (1, 4), (4, 8)]))
def test_the_pattern_against_a_loop(seed: int, pattern: tuple[int, int]) -> None:
    weight = (torch.rand(3, 16, generator=torch.Generator().manual_seed(seed)) < 0.4).float()
    kept, of = pattern
    by_hand = all(
        sum(value != 0 for value in row[at : at + of]) <= kept for row in weight.tolist() for at in range(0, 16, of)
    )
    assert follows(weight, kept, of) == by_hand


def test_widths_that_are_no_multiple() -> None:
    assert not follows(torch.zeros(2, 6))
    assert follows(torch.zeros(2, 4, 3, 3))


def test_layers_and_reasons() -> None:
    net = nn.Sequential(
        nn.Linear(32, 16), nn.Linear(16, 48), nn.Linear(48, 10), nn.Conv2d(16, 16, 1), nn.Linear(20, 16)
    ).requires_grad_(False)
    net[0].weight *= two_of_four(16, 32)
    assert suited(net) == {
        "0": "", "1": "more than two of four neighbouring edges are not zero",
        "2": "its shape 10x48 is no multiple of 16x16", "4": "its shape 16x20 is no multiple of 16x16",
    }  # fmt: skip
    with pytest.raises(InputError, match="not in float32"):
        suited(net, torch.float32)


def test_a_mask_counts() -> None:
    net = masked(nn.Sequential(nn.Linear(32, 16)), {"0": two_of_four(16, 32)})
    assert suited(net) == {"0": ""}


def test_blocks_are_those_of_the_library() -> None:
    """PyTorch keeps its table to itself; should it change, the reasons must change with it."""
    library = torch.sparse.SparseSemiStructuredTensorCUSPARSELT._DTYPE_SHAPE_CONSTRAINTS
    for dtype, block in _BLOCKS.items():
        assert (library[dtype].sparse_min_rows, library[dtype].sparse_min_cols) == block


def test_a_machine_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Linear(32, 16))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no GPU that PyTorch can use; keep the network dense"):
        semi_structured(net, torch.randn(2, 32))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "An old one")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert available() == "An old one is older than Ampere (compute capability 8.0)"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.backends.cusparselt, "is_available", lambda: False)
    assert "without cuSPARSELt" in available()
    monkeypatch.setattr(torch.backends.cusparselt, "is_available", lambda: True)
    with pytest.raises(InputError, match="no layer of Sequential follows 2:4; '0': more than two"):
        semi_structured(net, torch.randn(2, 32))


@pytest.mark.skipif(bool(available()), reason=f"2:4 kernels cannot run here: {available()}")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_kernels_give_the_same(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 128)).requires_grad_(False)
    net[0].weight *= two_of_four(512, 256)
    x = torch.randn(32, 256)
    fast = semi_structured(net, x, dtype=dtype)
    dense = net.to("cuda", dtype)(x.to("cuda", dtype))
    assert torch.allclose(fast(x.to("cuda", dtype)), dense, atol=5e-2, rtol=5e-2)
    assert type(fast[0].weight).__name__.startswith("SparseSemiStructured")
    assert type(fast[2].weight) is nn.Parameter
