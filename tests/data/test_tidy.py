from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure.data import contents
from nervure.data.tidy import tidy
from nervure.errors import InputError

NAN = np.nan


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 3))
def test_trailing_nan_becomes_the_mask(lengths, channels):
    x = np.ones((len(lengths), channels, 6), np.float32)
    for number, length in enumerate(lengths):
        x[number, :, length:] = NAN
    clean, mask = tidy(x, "series", "here")
    expected = np.array([[step < length for step in range(6)] for length in lengths])
    if expected.all():
        assert mask is None
    else:
        np.testing.assert_array_equal(mask, expected)
    assert np.isfinite(clean).all()
    assert clean.sum() == sum(lengths) * channels


def test_whole_series_are_not_copied():
    x = np.ones((2, 1, 3))
    assert tidy(x, "series", "here")[0] is x


def test_stated_lengths_win():
    x = np.ones((2, 1, 3))
    clean, mask = tidy(x, "series", "here", lengths=np.array([1, 3]))
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert clean[0].tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([[1, 2, 3], [1, NAN, 3]], "series", r"sample 1 is NaN at \(0, 1\)"),
        ([[NAN, 2, 3], [1, 2, 3]], "series", "sample 0 is NaN"),
        ([[1, 2, 3], [1, 2, np.inf]], "series", r"sample 1 is infinite at \(0, 2\)"),
        ([[1, 2, 3], [NAN, NAN, NAN]], "series", "series 1 has no values"),
        ([[1, 2, 3], [1, 2, NAN]], "image", "sample 1 is NaN"),
    ],
)
def test_other_nan_is_refused_by_its_first_sample(values, kind, message):
    with pytest.raises(InputError, match=message):
        tidy(np.array(values)[:, None], kind, "here")


def test_a_step_that_only_some_channels_lack_is_refused():
    with pytest.raises(InputError, match=r"sample 0 is NaN at \(1, 1\)"):
        tidy(np.array([[[1.0, 2.0], [1.0, NAN]]]), "series", "here")


def test_the_sample_is_named_across_chunks(monkeypatch):
    monkeypatch.setattr(contents, "CHUNK_BYTES", 64)
    x = np.zeros((100, 4))
    x[77, 1] = NAN
    with pytest.raises(InputError, match="sample 77 is NaN"):
        tidy(x, "table", "here")


@pytest.mark.parametrize("lengths", [[0, 1], [1, 4], [1], [[1, 2]]])
def test_impossible_lengths_are_refused(lengths):
    with pytest.raises(InputError, match="lengths must be"):
        tidy(np.ones((2, 1, 3)), "series", "here", lengths=np.array(lengths))


@pytest.mark.parametrize("mask", [np.ones((2, 2), bool), np.ones((2, 3))])
def test_a_mask_of_another_shape_is_refused(mask):
    with pytest.raises(InputError, match="a mask is"):
        tidy(np.ones((2, 1, 3)), "series", "here", mask=mask)
