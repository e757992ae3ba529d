from __future__ import annotations

import numpy as np
import pytest

from nervure.data import fingerprint as room
from nervure.data.dataset import hash_arrays
from nervure.data.fingerprint import fingerprint


@pytest.fixture
def base():
    return {
        "x": np.arange(24.0).reshape(4, 6),
        "y": np.arange(4),
        "mask": None,
        "splits": {"train": np.arange(4)},
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b | {"x": b["x"] + 1},
        lambda b: b | {"x": b["x"].astype(np.float32)},
        lambda b: b | {"x": b["x"].reshape(4, 3, 2)},
        lambda b: b | {"y": b["y"][::-1]},
        lambda b: b | {"y": None},
        lambda b: b | {"mask": np.ones((4, 6), bool)},
        lambda b: b | {"splits": {"test": np.arange(4)}},
        lambda b: b | {"splits": {"train": np.arange(3)}},
    ],
)
def test_every_part_counts(base, change):
    assert fingerprint(**base) == fingerprint(**base)
    assert fingerprint(**base) != fingerprint(**change(base))


def test_hash_does_not_depend_on_strides_or_chunks():
    x = np.random.default_rng(0).random((5000, 900))
    assert hash_arrays(x) == hash_arrays(np.asfortranarray(x))


def test_large_mapped_values_are_sampled(base, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((5000, 2)))
    monkeypatch.setattr(room, "WHOLE_BYTES", 1000)
    x = np.load(tmp_path / "x.npy", mmap_mode="r+")
    first = fingerprint(x, None, None, {})
    x[4999] = 1
    assert fingerprint(x, None, None, {}) != first
    assert fingerprint(x[:4000], None, None, {}) != first
    in_memory = np.zeros((5000, 2))
    whole = fingerprint(in_memory, None, None, {})
    in_memory[1] = 1
    assert fingerprint(in_memory, None, None, {}) != whole


def test_windows_that_overlap_are_sampled(monkeypatch):
    monkeypatch.setattr(room, "WHOLE_BYTES", 1000)
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(5000.0), 50)
    assert len(room._values(windows)[1]) == room.SAMPLES
