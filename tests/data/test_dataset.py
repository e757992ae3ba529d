from __future__ import annotations

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


def test_subset_renumbers_splits(waves):
    at = np.array([40, 3, 17, 22])
    small = waves.subset(at)
    np.testing.assert_array_equal(small.x, waves.x[at])
    for name, where in small.splits.items():
        assert set(at[where]) == set(at) & set(waves.splits[name])
    assert small.fingerprint not in (waves.fingerprint, waves.subset(at[::-1]).fingerprint)


def test_classes_and_missing_split(images):
    assert images.classes == 3
    targets = from_arrays(np.random.default_rng(0).random((20, 4)), np.ones((20, 2, 3)))
    assert targets.classes == 6
    assert from_arrays(np.ones((20, 4)), np.ones(20)).classes == 1
    assert from_arrays(np.ones((20, 4))).classes == 0
    with pytest.raises(InputError, match="no split named 'tset'; there are: train, validation, test"):
        images.indices("tset")
    assert len(images.indices()) == 90
