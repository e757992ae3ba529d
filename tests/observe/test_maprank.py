"""Rank of maps against numpy."""

import numpy as np
import pytest
import torch

from nervure.errors import InputError
from nervure.observe import MapRank


def test_equals_numpy_on_maps_of_known_and_random_rank() -> None:
    rng = np.random.default_rng(0)
    maps = np.stack(
        [
            np.maximum(rng.normal(size=(12, 8, 6)), 0),
            rng.normal(size=(12, 8, 2)) @ rng.normal(size=(12, 2, 6)),
            np.zeros((12, 8, 6)),
        ],
        axis=1,
    ).astype(np.float32)
    rank = MapRank()
    for part in np.array_split(maps, 3):
        rank.update(torch.from_numpy(part), None)
    expected = np.linalg.matrix_rank(maps).mean(0)
    assert expected[1:].tolist() == [2.0, 0.0]
    assert rank.result().tolist() == expected.tolist()


def test_units_without_maps_have_rank_one_where_they_are_not_zero() -> None:
    rank = MapRank()
    rank.update(torch.tensor([[0.0, 2.0], [1.0, -1.0]]), None)
    assert rank.result().tolist() == [0.5, 1.0]


def test_series_are_one_row() -> None:
    rank = MapRank()
    rank.update(torch.ones(2, 1, 9), None)
    assert rank.result().tolist() == [1.0]


def test_volumes_are_refused() -> None:
    with pytest.raises(InputError, match="two axes"):
        MapRank().update(torch.ones(1, 1, 2, 2, 2), None)


def test_nan_is_seen_before_it_is_decomposed() -> None:
    rank = MapRank()
    rank.update(torch.full((1, 1, 2, 2), float("nan")), None)
    assert not rank.finite()
