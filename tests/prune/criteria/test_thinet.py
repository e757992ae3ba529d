from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from nervure.errors import InputError
from nervure.prune.criteria.thinet import ThiNet, greedy_removal


def test_by_hand(toy: Any) -> None:
    # Two places of two outputs are all there is: contributions [1,0,2], [0,0,-2], [.5,0,1], [0,.5,-1].
    found = toy("thinet")
    assert found.scores.tolist() == [1.0, 0.0, 2.0]
    assert found.evidence[1].y[0] == pytest.approx(np.array([0.25, 1.5, 15.5]) / 15.5)


def test_greedy_against_a_plain_search() -> None:
    x = np.random.default_rng(0).normal(size=(40, 7))
    order, error = greedy_removal(torch.from_numpy(x.T @ x))
    removed: list[int] = []
    for step in range(7):
        costs = {c: (x[:, [*removed, c]].sum(1) ** 2).sum() for c in range(7) if c not in removed}
        removed.append(min(costs, key=costs.__getitem__))
        assert order[step] == removed[-1]
        assert float(error[step]) == pytest.approx(costs[removed[-1]])


def test_order_of_units_does_not_matter() -> None:
    x = np.random.default_rng(1).normal(size=(20, 4))
    order, _ = greedy_removal(torch.from_numpy(x.T @ x))
    for turn in permutations(range(4)):
        turned, _ = greedy_removal(torch.from_numpy(x[:, turn].T @ x[:, turn]))
        assert [turn[one] for one in turned.tolist()] == order.tolist()


def test_places() -> None:
    with pytest.raises(InputError, match="per_example"):
        ThiNet(per_example=0)
