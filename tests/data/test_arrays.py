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
        ([np.zeros((1, 2, 2)), np.zeros((1, 3, 3))], None, "samples differ in shape"),
        (np.array([[1e300], [-1e300]]), None, "too large to be standardised"),
        (np.zeros((4, 3), np.longdouble), None, "not real numbers of at most 64 bits"),
        (np.zeros((1, 3)), None, None),
    ],
)
def test_bad_arrays(x, y, message):
    if message is None:
        assert set(from_arrays(x, y).splits) == {"train"}
        return
    with pytest.raises(InputError, match=message):
        from_arrays(x, y)


class TestColumns:
    @pytest.mark.parametrize("shape", [(4, 2), (4, 2, 9), (4, 2, 5, 6)])
    def test_are_of_channels_and_features(self, shape):
        ds = from_arrays(np.ones(shape), columns=["a", "b"])
        assert ds.columns == ("a", "b")
        assert [ds.column(place) for place in (0, 1)] == ["a", "b"]

    def test_of_a_data_frame(self):
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(np.eye(4)[:, :2], columns=["age", "height"])
        assert from_arrays(frame).columns == ("age", "height")
        assert from_arrays(frame, columns=["a", "h"]).columns == ("a", "h")
        assert from_arrays(frame, kind="series").columns == ()
        assert from_arrays(pandas.DataFrame(np.eye(4))).columns == ()

    def test_are_one_each(self):
        with pytest.raises(InputError, match="3 columns are named for 2; give one name each"):
            from_arrays(np.ones((4, 2)), columns=["a", "b", "c"])


class TestSeriesOfUnequalLengths:
    def test_a_list_is_padded_and_masked(self):
        series = [np.arange(6.0).reshape(2, 3), np.ones((2, 1)), np.ones((2, 2))]
        ds = from_arrays(series, standardize=False)
        assert (ds.kind, ds.in_shape) == ("series", (2, 3))
        assert ds.mask.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
        assert ds.x[0].tolist() == series[0].tolist()
        held = np.empty(3, dtype=object)
        held[:] = series
        np.testing.assert_array_equal(from_arrays(held, standardize=False).x, ds.x)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            ([np.ones((2, 3)), np.ones((1, 3))], "series 1 has 1 channels where the first has 2"),
            ([np.ones((2, 3, 3)), np.ones((2, 2, 2))], "only series"),
            ([["a", "b"], ["c"]], "give numbers"),
            (np.array([1, None], dtype=object), "sample 1 is NaN"),
        ],
    )
    def test_others_are_refused(self, x, message):
        with pytest.raises(InputError, match=message):
            from_arrays(x)
