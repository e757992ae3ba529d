from __future__ import annotations

import numpy as np
import pytest

from nervure.data import contents
from nervure.data.contents import Stacked
from nervure.data.measure import measure, moments_of


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


def test_parts_on_disk_give_the_same():
    x = np.random.default_rng(0).random((10, 2, 6))
    assert measure(Stacked([x[:4], x[4:]]), "series", np.arange(8)) == measure(x, "series", np.arange(8))  # type: ignore[arg-type]


def test_merging_is_exact_enough():
    x = np.random.default_rng(0).standard_normal((100, 2, 3)) + 50
    whole = moments_of(x)
    merged = moments_of(x[:10]).merge(moments_of(x[10:70])).merge(moments_of(x[70:]))
    for one, other in zip(whole, merged, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
