from __future__ import annotations

import numpy as np
import pytest

from nervure.data import from_arrays
from nervure.errors import InputError


def test_words_lists_masks_and_splits():
    x = np.random.default_rng(0).random((10, 2, 5))
    mask = np.arange(5) < (np.arange(10) % 4 + 2)[:, None]
    ds = from_arrays(
        x, ["a", "b"] * 5, mask=mask, splits={"train": np.arange(6), "test": np.arange(6, 10)}, validation=0
    )
    assert ds.names == ("a", "b")
    np.testing.assert_array_equal(ds.mask, mask)
    assert (ds.x[~np.broadcast_to(mask[:, None], x.shape)] == 0).all()
    assert ds.splits["train"].tolist() == list(range(6))
    assert set(ds.splits) == {"train", "test"}


def test_unknown_labels_are_their_own_stratum():
    y = np.array([0, 1, -1, -1] * 25)
    ds = from_arrays(np.random.default_rng(0).random((100, 3)), y)
    assert [(ds.y[ds.splits["test"]] == label).sum() for label in (-1, 0, 1)] == [10, 5, 5]


def test_the_caller_keeps_his_arrays():
    x = np.full((4, 1, 3), np.nan)
    x[..., :2] = 1
    before = x.copy()
    from_arrays(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((0, 3)), None, "holds no samples"),
        (np.full((4, 3), np.inf), None, "sample 0 is infinite"),
        (np.zeros((4, 3)), [0, 1], "4 samples but 2 labels"),
        (np.zeros((1, 3)), None, None),
    ],
)
def test_bad_arrays(x, y, message):
    if message is None:
        assert set(from_arrays(x, y).splits) == {"train"}
        return
    with pytest.raises(InputError, match=message):
        from_arrays(x, y)
