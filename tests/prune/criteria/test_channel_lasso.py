from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn

from nervure.judge import Layer, select
from nervure.prune.criteria.channel_lasso import ChannelLasso, entry_penalties
from nervure.prune.criteria.contributions import ContributionsResult


def test_by_hand(toy: Any) -> None:
    # Gram [[1.25,0,2.5],[0,.25,-.5],[2.5,-.5,10]] over four places; filter 2 enters at 12, 0 at 1, 1 at 2/9.
    assert (4 * toy("channel-lasso").scores).tolist() == pytest.approx([1.0, 2 / 9, 12.0])


def test_lasso_uses_a_unit_just_below_its_penalty() -> None:
    x = np.random.default_rng(0).normal(size=(60, 6)) * np.array([3.0, 1.0, 2.0, 0.5, 1.5, 1.0])
    y = x.sum(1)
    penalties = entry_penalties(torch.from_numpy(x.T @ x)).numpy()
    for unit in range(6):
        for factor, used in ((1.001, False), (0.999, True)):
            alpha = factor * penalties[unit] / len(x)
            fitted = Lasso(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y)
            assert (fitted.coef_[unit] != 0) == used


def test_dead_and_doubled_units() -> None:
    x = np.random.default_rng(2).normal(size=(30, 4))
    x[:, 1] = 0.0
    x[:, 3] = x[:, 0]
    penalties = entry_penalties(torch.from_numpy(x.T @ x))
    assert penalties.isfinite().all()
    assert penalties[1] == 0
    assert entry_penalties(torch.zeros(3, 3)).tolist() == [0.0, 0.0, 0.0]


def test_of_units_that_never_enter_the_larger_stays() -> None:
    """Contributions a, 2a and 3a: the third explains all of them."""
    size = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    gram = ContributionsResult(size[:, None] * size, 1)
    found = ChannelLasso().judge(Layer("conv", nn.Conv2d(1, 3, 1), 3), {}, {"head": gram})
    assert found.scores.tolist() == pytest.approx([0.0, 0.0, 18.0])
    assert sorted(select(found.scores, 2, found.tiebreak).tolist()) == [1, 2]
