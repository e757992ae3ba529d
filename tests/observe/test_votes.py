"""Votes: worked examples, a plain double loop, ties, invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.errors import InputError
from nervure.observe import Votes
from nervure.observe.votes import top_votes, votes_each


def loop(scores: np.ndarray, l: int) -> list[int]:
    votes = [0] * scores.shape[1]
    for row in scores:
        for unit in sorted(range(len(row)), key=lambda j: (-row[j], j))[:l]:
            votes[unit] += 1
    return votes


@pytest.mark.parametrize(
    ("rows", "l_frac", "votes"),
    [
        ([[0.9, 0.1, 0.8, 0.2], [0.3, 0.7, 0.6, 0.1], [0.5, 0.4, 0.9, 0.45]], 0.5, [2, 1, 3, 0]),
        ([[10, 1, 0], [0, 1, 0.5], [0, 1, 0.5]], 1 / 3, [1, 2, 0]),
    ],
)
def test_worked_examples(rows: list[list[float]], l_frac: float, votes: list[int]) -> None:
    assert top_votes(torch.tensor(rows), l_frac).tolist() == votes


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 9), st.floats(0.01, 1))
def test_equals_a_double_loop_also_with_ties(seed: int, n: int, units: int, l_frac: float) -> None:
    scores = np.random.default_rng(seed).integers(-2, 3, size=(n, units)).astype(np.float32)
    votes = top_votes(torch.from_numpy(scores), l_frac)
    l = votes_each(units, l_frac)
    assert votes.tolist() == loop(scores, l)
    assert int(votes.sum()) == n * l


@given(st.integers(0, 10**6))
def test_scaling_an_example_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.normal(size=(6, 8)).astype(np.float32))
    factor = torch.from_numpy(2.0 ** rng.integers(-3, 4, size=(6, 1))).float()
    assert torch.equal(top_votes(scores, 0.3), top_votes(scores * factor, 0.3))


def test_exact_products_are_not_rounded_up() -> None:
    assert votes_each(15, 0.2) == 3
    assert votes_each(100, 0.29) == 29


@pytest.mark.parametrize(("spatial", "votes"), [("mean", [1, 0, 0]), ("max", [0, 1, 0]), ("l1", [0, 0, 1])])
def test_what_stands_for_a_map(spatial: str, votes: list[int]) -> None:
    maps = torch.tensor([[[2.0, 2.0, 2.0], [4.0, 0.0, 0.0], [-3.0, -3.0, 1.0]]])
    statistic = Votes(0.1, spatial=spatial)
    statistic.update(maps, None)
    assert statistic.result().votes.tolist() == votes


def test_nan_is_seen() -> None:
    votes = Votes()
    votes.update(torch.tensor([[1.0, float("nan")]]), None)
    assert not votes.finite()


def test_impossible_settings() -> None:
    with pytest.raises(InputError, match="l_frac"):
        Votes(0.0)
    with pytest.raises(InputError, match="spatial"):
        Votes(spatial="median")
