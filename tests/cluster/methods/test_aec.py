from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from nervure import cluster, data
from nervure.cluster.method import Method


def made(shape: tuple[int, ...], cut: bool = False, **settings: object) -> Method:
    x = np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32)
    if cut:
        x[::2, :, -2:] = np.nan
    ds = data.from_arrays(x, splits={"train": np.arange(30)}, validation=0, test=0)
    return cluster.AEC(3, **settings).prepared(ds)[1]


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8), (2, 12)])
def test_layers_are_dense(shape: tuple[int, ...]) -> None:
    method = made(shape)
    assert method.network == "autoencoder"
    assert method.head == "centres"


def test_padded_series_get_layers_that_read_masks() -> None:
    assert made((2, 12), cut=True).network == "dilated-autoencoder"


def test_a_given_network_is_kept() -> None:
    assert made((1, 8, 8), network="conv-autoencoder").network == "conv-autoencoder"
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert made((1, 8, 8), network=net).network is net


def test_profiles_differ_in_how_centres_begin() -> None:
    assert made((6,), profile="paper").head_options["refit_epochs"] == 0
    assert made((6,), profile="paper").head_options["empty"] == "keep"
    assert made((6,)).head_options["refit_epochs"] == 20
    assert made((6,), refit_epochs=3).head_options["refit_epochs"] == 3
