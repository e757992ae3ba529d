from __future__ import annotations

import numpy as np
import pytest

from nervure.data import contents
from nervure.data.contents import Stacked, chunks, join, ranges
from nervure.errors import InputError


@pytest.mark.parametrize(
    "at",
    [
        3,
        -1,
        slice(1, 6, 2),
        slice(None),
        np.array([5, 0, 2, 5]),
        np.array([], np.int64),
        np.arange(7) % 2 == 0,
    ],
)
def test_stacked_reads_as_one_array(at):
    rng = np.random.default_rng(0)
    parts = [rng.random((2, 3, 4)), rng.random((5, 3, 4))]
    whole = np.concatenate(parts)
    stacked = Stacked(parts)
    np.testing.assert_array_equal(stacked[at], whole[at])
    assert stacked.shape == whole.shape
    assert len(stacked) == 7
    np.testing.assert_array_equal(np.asarray(stacked), whole)


def test_large_mapped_parts_are_not_joined_in_memory(tmp_path, monkeypatch):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 5)))
    parts = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ab"]
    assert isinstance(join(parts, "here"), np.ndarray)
    monkeypatch.setattr(contents, "JOIN_BYTES", 100)
    assert isinstance(join(parts, "here"), Stacked)


def test_parts_of_unlike_shape_are_refused():
    with pytest.raises(InputError, match=r"unlike shapes, \(3,\) and \(4,\)"):
        join([np.zeros((2, 3)), np.zeros((2, 4))], "here")


def test_chunks_cover_everything_once(monkeypatch):
    monkeypatch.setattr(contents, "CHUNK_BYTES", 50)
    x = np.arange(40.0).reshape(20, 2)
    assert len(list(chunks(x))) > 3
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in chunks(x)]), x)
    at = np.array([7, 3, 11, 19])
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in chunks(x, at)]), x[at])


def test_one_piece_has_no_splits():
    assert ranges({"": 4}) == {}
    assert ranges({"train": 4}) == {}
    assert ranges({"train": 4, "test": 2})["test"].tolist() == [4, 5]
