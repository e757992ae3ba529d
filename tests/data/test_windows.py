"""Windows over recordings, held against plain loops (spec deepcluster, S13)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure.data import from_arrays
from nervure.data.windows import (
    cut,
    folds_of,
    majority,
    overlap_average,
    running_mean,
    slide,
    starts_of,
    vedba,
    windows,
    windows_of_folds,
)
from nervure.errors import InputError


def points(n: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, channels))


def bouts(n: int, classes: int = 3, seed: int = 0, longest: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = [np.full(rng.integers(20, longest), number % classes) for number in range(n)]
    return np.concatenate(labels)[:n]


class TestVeDBA:
    @given(st.integers(1, 40), st.integers(1, 15), st.integers(0, 100))
    def test_against_a_loop(self, n: int, length: int, seed: int) -> None:
        values = points(n, seed)
        expected = np.empty(n)
        for at in range(n):
            around = values[max(0, at - length // 2) : at + (length + 1) // 2]
            expected[at] = np.linalg.norm(values[at] - around.mean(axis=0))
        np.testing.assert_allclose(vedba(values, length), expected, atol=1e-12)

    def test_of_a_constant_is_exactly_zero(self) -> None:
        assert (vedba(np.full((500, 3), [0.1, -0.3, 0.9]), 50) == 0).all()

    @given(st.lists(st.floats(-100, 100), min_size=3, max_size=3))
    def test_does_not_see_an_offset(self, offset: list[float]) -> None:
        values = points(60)
        np.testing.assert_allclose(vedba(values + offset, 9), vedba(values, 9), atol=1e-10)

    def test_of_each_recording_by_itself(self) -> None:
        values = points(50)
        found = vedba(values, 7, recordings=[0] * 20 + [1] * 30)
        np.testing.assert_allclose(found, np.concatenate([vedba(values[:20], 7), vedba(values[20:], 7)]))

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="length = 0; give 1 or more"):
            vedba(points(5), 0)
        with pytest.raises(InputError, match="points of shape \\(5,\\); give \\(time, channels\\)"):
            running_mean(np.zeros(5), 3)
        with pytest.raises(InputError, match="5 points but recordings for 4"):
            vedba(points(5), 3, recordings=[0] * 4)


class TestStarts:
    @given(st.integers(0, 200), st.integers(1, 40), st.integers(1, 40))
    def test_count(self, time: int, length: int, stride: int) -> None:
        found = starts_of([0] * time, length, stride)
        assert len(found) == (max(0, (time - length) // stride + 1) if time >= length else 0)
        assert (np.diff(found) == stride).all()

    @given(st.lists(st.integers(0, 3), max_size=80), st.integers(1, 6), st.integers(1, 6))
    def test_no_window_crosses_a_border_and_none_is_lost(self, groups: list[int], length: int, stride: int) -> None:
        found = starts_of(groups, length, stride)
        assert all(len(set(groups[start : start + length])) == 1 for start in found)
        assert all(start + length <= len(groups) for start in found)
        expected, start = [], 0
        while start < len(groups):
            end = start
            while end < len(groups) and groups[end] == groups[start]:
                end += 1
            expected += list(range(start, end - length + 1, stride))
            start = end
        assert found.tolist() == expected

    def test_bad_input(self) -> None:
        for wrong in ({"length": 0}, {"stride": 0}):
            with pytest.raises(InputError, match="give 1 or more"):
                starts_of([0] * 9, **wrong)


@given(st.integers(1, 90), st.integers(1, 20), st.integers(1, 20), st.integers(0, 50))
def test_averaging_overlaps_gives_back_what_was_cut(time: int, length: int, stride: int, seed: int) -> None:
    values = points(time, seed)
    starts = starts_of([0] * time, length, stride)
    found = overlap_average(cut(values, starts, length), starts, time)
    covered = np.zeros(time, bool)
    for start in starts:
        covered[start : start + length] = True
    np.testing.assert_allclose(found[covered], values[covered], atol=1e-12)
    assert np.isnan(found[~covered]).all()


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 100))
def test_majority_against_a_loop(time: int, length: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(-1, 3, time)
    starts = starts_of([0] * time, length, 2)
    most, purity = majority(labels, starts, length)
    for start, name, share in zip(starts, most, purity, strict=True):
        inside = labels[start : start + length]
        counts = np.bincount(inside[inside >= 0], minlength=3)
        assert name == (counts.argmax() if counts.any() else -1)
        assert share == counts.max() / length


def test_mixed_windows_are_dropped_on_demand() -> None:
    labels = [0] * 10 + [1] * 10
    kept = slide(points(20), labels, length=4, stride=2, drop_mixed=True)
    assert kept.starts.tolist() == [0, 2, 4, 6, 10, 12, 14, 16]
    assert (kept.purity == 1).all()
    every = slide(points(20), labels, length=4, stride=2)
    assert set(every.starts) - set(kept.starts) == {8}


class TestFolds:
    @settings(deadline=None)
    @given(st.integers(2, 5), st.integers(0, 20))
    def test_each_class_in_equal_parts_in_order_of_time(self, folds: int, seed: int) -> None:
        labels = bouts(300, seed=seed)
        found = folds_of(labels, folds)
        for name in range(3):
            mine = found[labels == name]
            assert (np.diff(mine) >= 0).all()
            sizes = np.bincount(mine, minlength=folds)
            assert sizes.max() - sizes.min() <= 1

    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 20), st.sampled_from([0.0, 0.25]))
    def test_no_point_is_in_two_splits_or_two_folds(self, seed: int, validation: float) -> None:
        labels, recordings = bouts(900, seed=seed), np.arange(900) // 400
        tested = np.zeros(900, int)
        for fold in range(5):
            found, splits = windows_of_folds(
                points(900), labels, length=10, stride=5, recordings=recordings, fold=fold, validation=validation
            )
            covers = {name: set((found.starts[at][:, None] + np.arange(10)).ravel()) for name, at in splits.items()}
            assert not covers["train"] & covers["test"]
            if validation:
                assert not covers["validation"] & (covers["train"] | covers["test"])
            assert sorted(np.concatenate(list(splits.values()))) == list(range(len(found.starts)))
            tested[list(covers["test"])] += 1
            crossing = recordings[found.starts] != recordings[found.starts + 9]
            assert not crossing.any()
        assert tested.max() == 1

    def test_unknown_points_are_spread_however_few(self) -> None:
        labels = [0] * 9 + [-1, -1] + [1] * 9
        assert folds_of(labels, 5)[9:11].tolist() == [0, 2]
        found, _ = windows_of_folds(points(20), labels, length=2, stride=1)
        assert len(found.starts)

    def test_windows_are_the_same_whichever_fold_is_tested(self) -> None:
        cuts = [windows_of_folds(points(600), bouts(600), length=9, stride=4, fold=fold)[0] for fold in (0, 3)]
        assert np.array_equal(cuts[0].starts, cuts[1].starts)

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="fold = 5; give one from 0 to 4"):
            windows_of_folds(points(99), bouts(99), fold=5)
        with pytest.raises(InputError, match="class 1 has 2 points, too few for 5 folds"):
            folds_of([0] * 9 + [1, 1])
        with pytest.raises(InputError, match="folds = 1; give 2 or more"):
            folds_of([0] * 9, 1)
        with pytest.raises(InputError, match="99 points but 98 labels"):
            windows_of_folds(points(99), [0] * 98)


class TestDataset:
    def test_thirty_points_by_fifteen_scaled_on_the_training_part(self) -> None:
        values, labels = points(3000) * [1, 5, 0.2], bouts(3000)
        ds = windows(values, labels, folds=5, fold=2, names=("a", "b", "c"))
        assert (ds.kind, ds.in_shape, ds.names) == ("series", (3, 30), ("a", "b", "c"))
        at = ds.splits["train"]
        np.testing.assert_allclose(ds.preprocessing.mean, ds.x[at].min(axis=(0, 2)))
        read = ds.batch(range(len(ds))).x
        assert (float(read.min()), float(read.max())) == (0.0, 1.0)
        for number in (0, 7, len(ds) - 1):
            start = int(ds.items[number])
            np.testing.assert_allclose(ds.x[number], values[start : start + 30].T, rtol=1e-6)

    def test_without_folds_splits_follow_in_time_and_share_no_point(self) -> None:
        ds = windows(points(3000), bouts(3000))
        starts = np.array(ds.items, int)
        train, validation, test = (starts[ds.splits[name]] for name in ("train", "validation", "test"))
        assert train.max() + 30 <= validation.min()
        assert validation.max() + 30 <= test.min()

    def test_vedba_is_one_channel(self) -> None:
        values = points(600)
        ds = windows(values, vedba_length=50)
        assert (ds.in_shape, ds.task) == ((1, 30), "none")
        np.testing.assert_allclose(ds.x[3, 0], vedba(values)[45:75], rtol=1e-6)

    def test_channels_keep_their_names_but_for_vedba(self) -> None:
        values, axes = np.random.default_rng(0).random((90, 2)), ("ax", "ay")
        assert windows(values, columns=axes).columns == axes
        assert windows(values, columns=axes, vedba_length=5).columns == ()
        series = from_arrays(values.T[None].repeat(3, axis=0), columns=axes)
        assert windows(series, length=9).columns == axes
        assert windows(series, length=9, vedba_length=5).columns == ()

    def test_a_class_without_a_majority_keeps_its_number(self) -> None:
        labels = np.zeros(300, int)
        labels[40:43], labels[200:] = 1, 2
        ds = windows(points(300), labels)
        assert ds.names == ("0", "1", "2")
        assert set(ds.y) == {0, 2}

    def test_classes_may_be_words(self) -> None:
        words = np.array(["b", "a", "?"]).repeat(100)
        ds = windows(points(300), words)
        assert ds.names == ("a", "b")
        assert np.array_equal(ds.y[[0, 8, -1]], [1, 0, -1])
        assert windows(points(300), words, names=["c", "b", "a"]).names == ("a", "b", "c")
        with pytest.raises(InputError, match="whole numbers"):
            windows(points(4), [0.5, 1.5, 0.5, 1.5])

    def test_whole_recordings_are_left_out(self) -> None:
        who = np.repeat(["d", "a", "c", "b"], [200, 90, 100, 110])
        tested = []
        for fold in range(4):
            ds = windows(points(500), np.arange(500) % 2, recordings=who, folds=4, fold=fold, whole=True, length=10)
            of = {name: set(who[[int(ds.items[one]) for one in at]]) for name, at in ds.splits.items()}
            tested.append(of["test"])
            assert not of["test"] & (of["train"] | of["validation"])
        assert tested == [{"a"}, {"b"}, {"c"}, {"d"}]
        two = windows(points(500), recordings=who, folds=2, fold=1, whole=True)
        assert set(who[[int(two.items[one]) for one in two.splits["test"]]]) == {"b", "d"}

    def test_of_series_each_is_a_recording_with_its_class_and_split(self) -> None:
        x = np.full((12, 2, 40), np.nan, np.float32)
        lengths = np.arange(12) * 2 + 18
        for number, length in enumerate(lengths):
            x[number, :, :length] = number + np.arange(length) / 100
        series = from_arrays(x, np.arange(12) % 2, names=("u", "v"), validation=0.2, test=0.2)
        ds = windows(series, length=10, stride=5)
        owner = np.floor(ds.x[:, 0, 0]).astype(int)
        assert np.array_equal(np.bincount(owner), (lengths - 10) // 5 + 1)
        assert np.array_equal(ds.y, owner % 2)
        assert ds.names == ("u", "v")
        for name, at in series.splits.items():
            assert set(owner[ds.splits[name]]) == set(at)
        assert torch.equal(ds.batch([0]).x, ds.batch([0]).x.clamp(0, 1))

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="holds a window of 30 points"):
            windows(points(20))
        with pytest.raises(InputError, match="20 points but 19 labels"):
            windows(points(20), [0] * 19)
        with pytest.raises(InputError, match="5 folds of whole recordings, and there are 2"):
            windows(points(90), recordings=[0, 1] * 45, folds=5, whole=True)
        with pytest.raises(InputError, match="whole: give folds"):
            windows(points(90), whole=True)
        with pytest.raises(InputError, match="folds: windows of a Dataset have its classes"):
            windows(from_arrays(np.zeros((9, 2, 40))), folds=3)
        with pytest.raises(InputError, match="windows need series"):
            windows(from_arrays(np.zeros((9, 4, 4), np.uint8)))
