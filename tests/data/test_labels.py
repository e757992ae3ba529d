from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

from nervure.data.labels import encode, ordered
from nervure.errors import InputError

SIGNS = ["-1", "0", "1", "-1"]


@given(st.lists(st.integers(0, 9), min_size=2).filter(lambda y: len(set(y)) > 1))
def test_numbers_agree_with_scikit_learn(values):
    y, names, task = encode(np.array(values), len(values), (), None, "here")
    peer = LabelEncoder().fit(values)
    np.testing.assert_array_equal(y, peer.transform(values))
    assert names == tuple(str(value) for value in peer.classes_)
    assert task == "classification"


def test_words_are_sorted_and_unknown_is_minus_one():
    y, names, _ = encode(np.array(["dog", "?", "cat", ""]), 4, (), None, "here")
    assert y.tolist() == [1, -1, 0, -1]
    assert names == ("cat", "dog")


def test_words_of_a_data_frame():
    y, names, _ = encode(np.array(["dog", None, "cat", float("nan")], dtype=object), 4, (), None, "here")
    assert (y.tolist(), names) == ([1, -1, 0, -1], ("cat", "dog"))
    assert encode(np.array([2, 5], dtype=object), 2, (), None, "here")[1] == ("2", "5")
    assert encode(np.array([0.5, 5], dtype=object), 2, (), None, "here")[2] == "regression"


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_whole_numbers_of_a_data_frame(nothing):
    for held in ([2, nothing, 5], [np.int64(2), nothing, np.int64(5)], [2.0, nothing, 5.0]):
        y, names, _ = encode(np.array(held, dtype=object), 3, (), None, "here")
        assert (y.tolist(), names) == ([0, -1, 1], ("2", "5"))
    assert encode(np.array([True, nothing, False], dtype=object), 3, (), None, "here")[0].tolist() == [1, -1, 0]
    for held, task in (([2, nothing, 5], "regression"), ([2.5, nothing, 5], "regression")):
        with pytest.raises(InputError, match="target of sample 1 is NaN"):
            encode(np.array(held, dtype=object), 3, (), task, "here")


def test_bytes_that_are_no_ascii_are_words():
    assert encode(np.array(["é".encode(), b"b"]), 2, (), None, "here")[1] == ("b", "é")


def test_the_largest_numbers_are_classes_and_not_unknown():
    y, names, _ = encode(np.array([2**64 - 1, 5], dtype=np.uint64), 2, (), None, "here")
    assert (y.tolist(), names) == ([1, 0], ("5", str(2**64 - 1)))


def test_one_based_numbers_keep_their_names():
    y, names, _ = encode(np.array([3, 1, -1, 3]), 4, (), None, "here")
    assert y.tolist() == [1, 0, -1, 1]
    assert names == ("1", "3")


def test_minus_one_in_words_is_unknown_beside_two_classes(caplog):
    y, names, _ = encode(np.array(SIGNS), 4, (), None, "here")
    assert (y.tolist(), names) == ([-1, 0, 1, -1], ("0", "1"))
    assert caplog.messages == ["here: 2 of 4 labels are -1 and count as unknown; if that is a class, rename it"]


def test_minus_one_in_words_is_a_class_beside_one_other_or_where_it_is_listed(caplog):
    y, names, _ = encode(np.array(["-1", "1", "?", ""]), 4, (), None, "here")
    assert (y.tolist(), names) == ([0, 1, -1, -1], ("-1", "1"))
    y, names, _ = encode(np.array(SIGNS), 4, ("-1", "0", "1"), None, "here")
    assert (y.tolist(), names) == ([0, 1, 2, 0], ("-1", "0", "1"))
    assert not caplog.messages


def test_minus_one_is_a_target_of_a_regression():
    assert encode(np.array(SIGNS), 4, (), "regression", "here")[0].tolist() == [-1, 0, 1, -1]


def test_numbers_in_words_are_sorted_by_value():
    assert ordered({"10", "2", "1"}) == ("1", "2", "10")


def test_stated_names_are_kept_even_where_no_sample_is():
    y, names, _ = encode(np.array([0, 2]), 2, ("a", "b", "c"), None, "here")
    assert (y.tolist(), names) == ([0, 2], ("a", "b", "c"))


def test_floats_are_targets():
    y, names, task = encode(np.array([[0.5, 1], [2, 3]]), 2, (), None, "here")
    assert (y.dtype, y.shape, names, task) == (np.float32, (2, 2), (), "regression")


def test_task_overrides():
    assert encode(np.array([0.0, 1.0]), 2, (), "classification", "here")[2] == "classification"
    assert encode(np.array([0, 1]), 2, (), "regression", "here")[0].dtype == np.float32
    assert encode(np.array([0, 0]), 2, (), "none", "here") == (None, (), "none")
    assert encode(None, 2, (), None, "here") == (None, (), "none")


@pytest.mark.parametrize(
    ("y", "names", "task", "message"),
    [
        ([0, 1, 0], (), None, "2 samples but 3 labels"),
        ([0, 0], (), None, "only the class '0' occurs"),
        ([-1, 1], (), None, "only the class '1' occurs beside unknown ones"),
        ([0, 1], ("a", "a"), None, "two classes are called 'a'"),
        ({0, 1}, (), None, "2 samples but no list of labels"),
        ([-1, -1], (), None, "no known class"),
        ([0, 2], ("a", "b"), None, "label of sample 1 is 2, outside"),
        ([0, -2], (), None, "label of sample 1 is -2, outside"),
        (["a", "x"], ("a", "b"), None, "'x' is none of its classes"),
        ([[0, 1], [1, 0]], (), None, "one label a sample"),
        ([0.5, 1.0], (), "classification", "not whole numbers"),
        ([0.5, np.nan], (), None, "target of sample 1 is NaN"),
        (["a", "b"], (), "regression", "must be numbers"),
        ([0, 1], (), "ranking", "unknown task"),
        ([1j, 2j], (), None, "whole numbers or words"),
    ],
)
def test_bad_labels_are_refused(y, names, task, message):
    with pytest.raises(InputError, match=message):
        encode(np.array(y), 2, names, task, "here")


def test_a_task_without_labels_is_refused():
    with pytest.raises(InputError, match="needs labels"):
        encode(None, 2, (), "classification", "here")
