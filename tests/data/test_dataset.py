from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from nervure.data import Preprocessing, from_arrays
from nervure.errors import InputError


def test_preprocessing_there_and_back(images):
    stored = torch.from_numpy(images.x[:5])
    prepared = images.preprocessing(stored)
    expected = (images.x[:5] / 255 - np.reshape(images.preprocessing.mean, (3, 1, 1))) / np.reshape(
        images.preprocessing.std, (3, 1, 1)
    )
    np.testing.assert_allclose(prepared, expected, atol=1e-5)
    np.testing.assert_allclose(images.preprocessing.invert(prepared), images.x[:5], atol=1e-3)
    assert Preprocessing.from_json(images.preprocessing.to_json()) == images.preprocessing


def test_batch_keeps_order_and_zeroes_padding(waves):
    batch = waves.batch([5, 0, 5])
    assert batch.index.tolist() == [5, 0, 5]
    assert batch.y.tolist() == [1, 0, 1]
    torch.testing.assert_close(batch.x[0], batch.x[2])
    assert (batch.x * ~batch.mask[:, None] == 0).all()
    assert batch.mask.sum(1).tolist() == [9, 4, 9]


def test_any_order_of_bytes():
    x = np.arange(12.0).reshape(6, 2)
    plain, turned = (from_arrays(x.astype(kind), [0, 1] * 3) for kind in ("<f4", ">f4"))
    assert torch.equal(plain.batch([0, 5]).x, turned.batch([0, 5]).x)


def test_subset_renumbers_splits(waves):
    at = np.array([40, 3, 17, 22])
    small = waves.subset(at)
    np.testing.assert_array_equal(small.x, waves.x[at])
    for name, where in small.splits.items():
        assert set(at[where]) == set(at) & set(waves.splits[name])
    assert small.fingerprint not in (waves.fingerprint, waves.subset(at[::-1]).fingerprint)


def test_truth_values_are_samples(waves):
    ones = waves.y == 1
    at = np.flatnonzero(ones)
    np.testing.assert_array_equal(waves.subset(ones).x, waves.x[at])
    assert waves.subset(ones).fingerprint == waves.subset(at).fingerprint
    assert waves.batch(ones).index.tolist() == at.tolist()
    assert torch.equal(waves.raw(ones.tolist()), waves.raw(at))
    assert torch.equal(waves.raw(at.astype(object)), waves.raw(at))
    assert len(waves.subset([])) == 0
    for wrong in (ones[:5], [0.0, 1.0], [[0, 1]], 3):
        for take in (waves.subset, waves.batch, waves.raw):
            with pytest.raises(InputError, match="arrays: indices must be positions of samples, or 60 truth values"):
                take(wrong)


@pytest.mark.parametrize("kind", [np.uint32, np.uint64, np.int32])
def test_large_whole_numbers_stay_apart(kind):
    x = (np.arange(20) + 2_000_000_000).astype(kind)[:, None]
    assert len(from_arrays(x).batch(range(20)).x.unique()) == 20


def test_names_of_columns_stay_with_a_subset():
    named = from_arrays(np.random.default_rng(0).random((8, 2)), columns=["age", "height"])
    for ds in (named.subset([3, 1]), dataclasses.replace(named, source="elsewhere")):
        assert ds.columns == ("age", "height") and ds.column(1) == "height"
    assert [ds.column(1) for ds in (from_arrays(np.ones((4, 2))), from_arrays(np.ones((4, 2, 9))))] == [
        "feature 1",
        "variate 1",
    ]


def test_classes_and_missing_split(images):
    assert images.classes == 3
    targets = from_arrays(np.random.default_rng(0).random((20, 4)), np.ones((20, 2, 3)))
    assert targets.classes == 6
    assert from_arrays(np.ones((20, 4)), np.ones(20)).classes == 1
    assert from_arrays(np.ones((20, 4))).classes == 0
    with pytest.raises(InputError, match="no split named 'tset'; there are: train, validation, test"):
        images.indices("tset")
    assert len(images.indices()) == 90


class TestEachByItself:
    def test_padded_steps_of_series_do_not_count_and_stay_zero(self, waves):
        ds = dataclasses.replace(waves, preprocessing=Preprocessing(each="min-max"))
        batch = ds.batch(range(20))
        for x, mask in zip(batch.x, batch.mask, strict=True):
            assert (x[:, mask].min(), x[:, mask].max()) == (0, 1)
            assert (x[:, ~mask] == 0).all()

    def test_comes_before_mean_and_std(self):
        x = torch.tensor([[3.0, 5.0, 4.0]])
        found = Preprocessing(2.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), each="min-max")(x)
        assert found.tolist() == [[-2.0, 2.0, 0.0]]

    def test_inverts_to_the_full_range(self, images):
        one = Preprocessing(1 / 255, each="min-max")
        shown = one.invert(one(torch.from_numpy(images.x[:4])))
        assert (shown.amin((1, 2, 3)) == 0).all()
        torch.testing.assert_close(shown.amax((1, 2, 3)), torch.full((4,), 255.0))

    def test_an_unknown_kind_is_refused(self):
        with pytest.raises(InputError, match="each = 'max'; give '' or 'min-max'"):
            Preprocessing(each="max")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "one", [Preprocessing(), Preprocessing(0.5, each="min-max"), Preprocessing(1.0, (1.0,), (2.0,), clip=True)]
)
def test_preprocessing_as_json(one):
    assert Preprocessing.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_preprocessing_of_an_older_run_is_read():
    old = {"scale": 0.5, "mean": [1.0], "std": [2.0]}
    assert Preprocessing.from_json(old) == Preprocessing(0.5, (1.0,), (2.0,))
    assert Preprocessing(0.5, (1.0,), (2.0,)).to_json() == old


def test_clip_keeps_to_zero_and_one():
    one = Preprocessing(1.0, (2.0,), (4.0,), clip=True)
    assert one(torch.tensor([[0.0], [4.0], [9.0]])).flatten().tolist() == [0.0, 0.5, 1.0]
    assert one.invert(torch.tensor([[0.5]])).item() == 4.0
