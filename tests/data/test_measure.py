from __future__ import annotations

import numpy as np
import pytest
import torch

from nervure.data import contents, from_arrays, load
from nervure.data.contents import Stacked
from nervure.data.measure import measure, moments_of
from nervure.errors import InputError


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_mean_and_std_agree_with_numpy_in_chunks(offset, monkeypatch):
    monkeypatch.setattr(contents, "CHUNK_BYTES", 500)
    x = np.random.default_rng(0).standard_normal((60, 3, 5)) + offset
    train = np.arange(0, 60, 2)
    found = measure(x, "series", train)
    np.testing.assert_allclose(found.mean, x[train].mean(axis=(0, 2)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.std, x[train].std(axis=(0, 2)), rtol=1e-9)


def test_masked_steps_do_not_count(waves):
    train = waves.splits["train"]
    values = [waves.x[i][:, waves.mask[i]] for i in train]
    np.testing.assert_allclose(waves.preprocessing.mean, np.concatenate(values, axis=1).mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(waves.preprocessing.std, np.concatenate(values, axis=1).std(axis=1), rtol=1e-6)


def test_only_training_samples_are_seen():
    x = np.zeros((4, 1, 2, 2), np.uint8)
    x[3] = 255
    assert measure(x, "image", np.arange(3)).mean == (0.0,)


def test_a_channel_that_does_not_vary_has_std_one(monkeypatch):
    monkeypatch.setattr(contents, "CHUNK_BYTES", 300)
    x = np.random.default_rng(0).random((50, 2, 7)).astype(np.float32)
    x[:, 1] = 0.1
    assert measure(x, "series", np.arange(50)).std[1] == 1.0


@pytest.mark.parametrize(
    ("dtype", "kind", "scale"),
    [
        ("u1", "image", 1 / 255),
        ("u1", "table", 1 / 255),
        ("u2", "image", 1 / 40),
        ("f4", "image", 1),
        ("i4", "series", 1),
    ],
)
def test_scale(dtype, kind, scale):
    x = np.full((3, 1, 2, 2) if kind == "image" else (3, 4) if kind == "table" else (3, 1, 4), 40, dtype)
    assert measure(x, kind, np.arange(3)).scale == scale


def test_standardize_off():
    found = measure(np.ones((3, 4)), "table", np.arange(3), standardize=False)
    assert (found.mean, found.std) == ((), ())


@pytest.mark.parametrize(("asked", "same"), [(True, "standard"), (False, "unit")])
def test_scalings_have_names(asked, same):
    x = np.random.default_rng(0).random((9, 4))
    assert measure(x, "table", np.arange(9), standardize=asked) == measure(x, "table", np.arange(9), standardize=same)


def test_unit_brings_whole_numbers_to_at_most_one():
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)
    np.testing.assert_allclose(from_arrays(x, standardize="unit").batch([0, 3]).x, x[[0, 3]] / 255, rtol=1e-6)


class TestMinMax:
    def test_of_each_channel_on_the_training_samples_in_chunks(self, monkeypatch):
        monkeypatch.setattr(contents, "CHUNK_BYTES", 300)
        x = np.random.default_rng(0).standard_normal((60, 3, 5)) * [[[1.0], [20.0], [0.1]]]
        train = np.arange(0, 60, 2)
        found = measure(x, "series", train, standardize="min-max")
        low, high = x[train].min(axis=(0, 2)), x[train].max(axis=(0, 2))
        np.testing.assert_allclose(found.mean, low)
        np.testing.assert_allclose(found.std, high - low)
        read = found(torch.from_numpy(x)).numpy()
        expected = ((x - low[:, None]) / (high - low)[:, None]).clip(0, 1)
        np.testing.assert_allclose(read, expected, atol=1e-6)
        assert (read[train].min(axis=(0, 2)), read[train].max(axis=(0, 2))) == (pytest.approx(0), pytest.approx(1))

    def test_padded_steps_do_not_count_and_stay_zero(self):
        x = np.full((6, 1, 4), np.nan, np.float32)
        x[:, 0, :2] = np.arange(12).reshape(6, 2) + 5
        ds = from_arrays(x, standardize="min-max", validation=0, test=0)
        assert (ds.preprocessing.mean, ds.preprocessing.std) == ((5.0,), (11.0,))
        batch = ds.batch(range(6)).x
        np.testing.assert_allclose(batch[:, 0, :2], (x[:, 0, :2] - 5) / 11, rtol=1e-6)
        assert (batch[:, 0, 2:] == 0).all()

    def test_a_constant_channel_becomes_zeros(self):
        x = np.random.default_rng(0).random((8, 2, 5))
        x[:, 1] = 7
        found = measure(x, "series", np.arange(8), standardize="min-max")
        assert (found(torch.from_numpy(x))[:, 1] == 0).all()

    def test_of_bytes_counts_in_scaled_values(self):
        x = np.random.default_rng(0).integers(51, 205, (9, 3, 4, 4), dtype=np.uint8)
        ds = from_arrays(x, standardize="min-max", validation=0, test=0)
        read = ds.batch(range(9)).x
        low, high = x.min(axis=(0, 2, 3), keepdims=True).astype(float), x.max(axis=(0, 2, 3), keepdims=True)
        np.testing.assert_allclose(read, (x - low) / (high - low), atol=1e-6)
        np.testing.assert_allclose(ds.preprocessing.invert(read), x, atol=1e-3)


def test_each_by_itself_is_an_option_of_load_and_arrays():
    x = np.random.default_rng(0).integers(0, 99, (9, 2, 4, 4), dtype=np.uint8)
    ds = load(x, standardize="each-min-max")
    assert ds.preprocessing.each == "min-max"
    read = ds.batch(range(9)).x.flatten(1)
    assert (read.amin(1) == 0).all()
    assert (read.amax(1) == 1).all()
    assert load("digits", standardize="each-min-max").batch([0]).x.max() == 1


def test_an_unknown_scaling_is_refused():
    with pytest.raises(InputError, match="unknown standardize 'minmax'; did you mean 'min-max'"):
        measure(np.ones((3, 4)), "table", np.arange(3), standardize="minmax")  # type: ignore[arg-type]


def test_parts_on_disk_give_the_same():
    x = np.random.default_rng(0).random((10, 2, 6))
    assert measure(Stacked([x[:4], x[4:]]), "series", np.arange(8)) == measure(x, "series", np.arange(8))  # type: ignore[arg-type]


def test_merging_is_exact_enough():
    x = np.random.default_rng(0).standard_normal((100, 2, 3)) + 50
    whole = moments_of(x)
    merged = moments_of(x[:10]).merge(moments_of(x[10:70])).merge(moments_of(x[70:]))
    for one, other in zip(whole, merged, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
