from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure.data.batches import permutation
from nervure.data.few import keep_labels, parent_labels
from nervure.errors import InputError

LABELS = st.lists(st.integers(-1, 4), min_size=1, max_size=80).map(np.array)


@given(LABELS, st.integers(0, 9))
def test_kept_labels_are_nested_and_true(y: np.ndarray, seed: int) -> None:
    known = int((y >= 0).sum())
    before: set[int] = set()
    for count in range(known + 1):
        found = keep_labels(y, count, seed)
        kept = np.flatnonzero(found >= 0)
        assert len(kept) == count
        assert (found[kept] == y[kept]).all()
        assert before < set(kept) or not count
        before = set(kept)


@given(LABELS, st.integers(0, 9))
def test_every_class_is_kept_in_its_share(y: np.ndarray, seed: int) -> None:
    sizes = np.bincount(y[y >= 0], minlength=5)
    there = sizes > 0
    for count in range(int(there.sum()), int(sizes.sum()) + 1):
        found = keep_labels(y, count, seed)
        taken = np.bincount(found[found >= 0], minlength=5)
        assert (taken[there] >= 1).all()
        share = sizes * count / max(1, sizes.sum())
        assert (abs(taken - share)[there] < 2).all()


def test_shares_and_numbers_agree() -> None:
    y = np.arange(1000) % 10
    assert np.array_equal(keep_labels(y, 0.2, 3), keep_labels(y, 200, 3))
    assert np.bincount(keep_labels(y, 0.2)[keep_labels(y, 0.2) >= 0]).tolist() == [20] * 10
    assert np.array_equal(keep_labels(y, 1.0), y)
    assert (keep_labels(y, 0.0) == -1).all()
    assert not np.array_equal(keep_labels(y, 0.2, 1), keep_labels(y, 0.2, 2))


def test_what_is_kept_comes_first_in_no_epoch() -> None:
    kept = keep_labels(np.arange(1000) % 2, 0.1) >= 0
    for epoch in range(20):
        assert kept[permutation(1000, 0, epoch)][:100].mean() < 0.3


def test_parents() -> None:
    y = np.array([*range(10), -1])
    assert parent_labels(y).tolist() == [0] * 5 + [1] * 5 + [-1]
    assert parent_labels([3, 8, -1], {3: 1, 8: 0}).tolist() == [1, 0, -1]
    assert parent_labels(y, np.arange(10) // 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, -1]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (11, "keep = 11 labels of 10 known ones; give 0 to 10"),
        (1.5, "keep = 1.5; give a share"),
        (-1, "keep = -1"),
        (float("nan"), "keep = nan"),
        (True, "keep = True"),
    ],
)
def test_senseless_amounts(keep: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        keep_labels([*range(10), -1], keep)


def test_senseless_labels() -> None:
    for wrong in ([0.5], [[1]], [-2]):
        with pytest.raises(InputError, match="give"):
            keep_labels(wrong, 1)
    with pytest.raises(InputError, match="class 9 has no parent"):
        parent_labels([0, 9], [0, 1])
