from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from nervure.data.splits import apportion, make_splits
from nervure.errors import InputError


def split(n, strata=None, given=None, validation=0.1, test=0.2, seed=0, gap=None):
    return make_splits(n, strata, given or {}, validation=validation, test=test, seed=seed, gap=gap, where="here")


@given(st.lists(st.integers(-1, 4), min_size=4, max_size=120), st.integers(0, 9))
def test_disjoint_complete_and_proportional(labels, seed):
    y = np.array(labels)
    parts = split(len(y), y, seed=seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(y)))
    for label in np.unique(y):
        members = (y == label).sum()
        assert (y[parts["train"]] == label).sum() >= 1
        for name, share in (("test", 0.2), ("validation", 0.1)):
            # A remainder more or less, and one more where the cut before it took one too many of a class.
            assert abs((y[parts.get(name, [])] == label).sum() - share * members) < 2.5


def test_counts_agree_with_scikit_learn():
    y = np.repeat([0, 1, 2, 3], [200, 100, 60, 40])
    (train, test), *_ = StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(y, y)
    parts = split(len(y), y, validation=0)
    np.testing.assert_array_equal(np.bincount(y[parts["test"]]), np.bincount(y[test]))
    np.testing.assert_array_equal(np.bincount(y[parts["train"]]), np.bincount(y[train]))


def test_the_seed_decides():
    y = np.arange(100) % 4
    one, same, other = (split(100, y, seed=seed)["test"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


def test_given_splits_are_kept():
    parts = split(100, None, {"train": np.arange(60), "test": np.arange(60, 100)})
    assert parts["test"].tolist() == list(range(60, 100))
    assert len(parts["validation"]) == 6
    assert max(parts["validation"]) < 60
    parts = split(100, None, {"test": np.arange(60, 100)})
    assert (len(parts["train"]), len(parts["validation"])) == (54, 6)


def test_the_share_of_a_split_that_is_given_counts_for_nothing():
    made = split(10, given={"test": [0, 1]}, validation=0.75, test=0.5)
    assert made["test"].tolist() == [0, 1]
    assert len(made["validation"]) == 6


def test_truth_values_stand_for_positions():
    settings = {"validation": 0, "test": 0, "seed": 0, "gap": None, "where": "here"}
    splits = make_splits(4, None, {"train": np.array([True, False, True, False]), "test": [3]}, **settings)
    assert {name: at.tolist() for name, at in splits.items()} == {"train": [0, 2], "test": [3]}
    for odd in ([0.0, 1.0], [True, False], [[0]]):
        with pytest.raises(InputError, match="must be positions of samples, or 4 truth values"):
            make_splits(4, None, {"train": odd}, **settings)


def test_share_of_zero_gives_no_split():
    assert set(split(20, validation=0)) == {"train", "test"}
    assert set(split(20, validation=0, test=0)) == {"train"}


def test_single_samples_stay_in_training():
    y = np.array([0] * 10 + [1, 2])
    parts = split(12, y)
    assert {1, 2} <= set(y[parts["train"]])


def test_in_time_order_no_row_is_shared():
    parts = split(100, None, gap=7)
    assert parts["train"].max() + 8 == parts["validation"].min()
    assert parts["validation"].max() + 8 == parts["test"].min()
    assert parts["test"].tolist() == list(range(80, 100))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=10), st.integers(0, 100))
def test_apportion_adds_up(sizes, total):
    sizes = np.array(sizes)
    take = apportion(sizes, total)
    assert take.sum() == min(total, (sizes - 1).sum())
    assert (take >= 0).all()
    assert (take < sizes).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 1.0}, "test = 1.0"),
        ({"validation": -0.1}, "validation = -0.1"),
        ({"validation": 0.5, "test": 0.5}, "leave a share for training"),
        ({"given": {"train": [0, 99]}}, "outside 0 to 9"),
        ({"given": {"train": [0, 1], "test": [1]}}, "in two splits"),
        ({"given": {"dev": [0]}}, "unknown split 'dev'"),
        ({"given": {"test": np.arange(10)}}, "no sample is left"),
    ],
)
def test_bad_splits_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        split(10, **settings)
