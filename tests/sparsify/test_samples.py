from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nervure.data import Dataset, from_arrays
from nervure.errors import InputError
from nervure.nets import build
from nervure.sparsify.samples import drawn, fitting


def test_a_draw_follows_its_seed(ds: Dataset) -> None:
    one, again, other = (drawn(ds, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert set(one) <= set(ds.indices("train")) and len(set(one)) == 20
    with pytest.raises(InputError, match="samples = 0"):
        drawn(ds, 0, 0)


def test_unknown_labels_are_left_out_where_labels_count() -> None:
    ds = from_arrays(np.zeros((8, 2), np.float32), np.array([0, 1, -1, -1] * 2), validation=0, test=0)
    assert len(drawn(ds, None, 0)) == 8
    assert set(ds.y[drawn(ds, None, 0, labelled=True)]) == {0, 1}


def test_samples_of_a_wrong_shape_are_refused_in_one_line() -> None:
    net = build("lenet5", in_shape=(1, 28, 28), classes=10)
    with pytest.raises(InputError, match=r"built for samples of shape \(1, 28, 28\), and these are \(64,\)") as said:
        fitting(net, torch.zeros(1, 64))
    assert "\n" not in str(said.value)
    with pytest.raises(InputError, match=r"cannot read samples of shape \(1, 8, 8\)") as said:
        fitting(net, torch.zeros(1, 1, 8, 8))
    assert "\n" not in str(said.value)
    with pytest.raises(InputError, match=r"Linear cannot read samples of shape \(3,\)"):
        fitting(nn.Linear(2, 1), torch.zeros(1, 3))
    with pytest.raises(InputError, match="Bilinear reads 2 tensors, and a batch of samples is one"):
        fitting(nn.Bilinear(2, 2, 1), torch.zeros(1, 2))
