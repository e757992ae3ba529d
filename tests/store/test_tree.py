"""Nested values in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import InputError, RunError
from nervure.store.tree import load_tree, load_weights, save_tree, save_weights


@pytest.mark.parametrize(
    ("value", "why"),
    [({1: "a", "1": "b"}, "read the same"), (b"ab", "a bytes"), (np.ones(2), "a ndarray"), ({1, 2}, "a set")],
)
def test_what_would_be_lost_is_refused(tmp_path: Path, value: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        save_tree(tmp_path / "t.safetensors", {"a": value})


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    save_tree(tmp_path / "t.safetensors", {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)})
    assert load_tree(tmp_path / "t.safetensors") == {"a": 0.5, "b": 3, "c": True}


plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@given(trees)
def test_plain_values_come_back(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    file = tmp_path_factory.mktemp("tree") / "t.safetensors"
    save_tree(file, {"a": tree})
    assert load_tree(file) == {"a": tree}


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_come_back_in_their_type(tmp_path: Path, kind: torch.dtype) -> None:
    value = torch.tensor([[0, 1], [1, 0]]).to(kind)
    save_tree(tmp_path / "t", {"deep": [{"x": value}, {"empty": value[:0]}, {"scalar": value[0, 1]}]})
    back = load_tree(tmp_path / "t")["deep"]
    assert back[0]["x"].dtype == kind
    assert torch.equal(back[0]["x"], value)
    assert back[1]["empty"].shape == (0, 2)
    assert back[2]["scalar"].shape == ()


def test_shared_and_strided_tensors(tmp_path: Path) -> None:
    base = torch.arange(6.0).view(2, 3)
    save_weights(tmp_path / "w", {"a": base, "b": base, "turned": base.T})
    back = load_weights(tmp_path / "w")
    assert torch.equal(back["a"], back["b"])
    assert torch.equal(back["turned"], base.T)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"not a file of tensors")
    with pytest.raises(RunError, match="not a whole safetensors file"):
        load_tree(tmp_path / "t")
    save_weights(tmp_path / "w", {"a": torch.ones(1)})
    with pytest.raises(RunError, match="no state"):
        load_tree(tmp_path / "w")
    with pytest.raises(RunError, match="no such file"):
        load_tree(tmp_path / "none")
