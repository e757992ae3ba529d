"""Published settings of training around pruning."""

from __future__ import annotations

import numpy as np
import pytest

from nervure.errors import InputError
from nervure.prune.training.recipes import retraining
from nervure.train.recipe import learning_rate


def test_the_schedule_of_each_layer() -> None:
    recipe = retraining("thesis")
    rates = [learning_rate(recipe, epoch, 1) for epoch in range(30)]
    np.testing.assert_allclose(rates, [0.001] * 5 + [0.0001] * 5 + [0.00001] * 20)
    assert (recipe.optimizer, recipe.momentum, recipe.weight_decay, recipe.batch) == ("sgd", 0.9, 5e-4, 128)
    assert retraining().lr == 0.01
    assert retraining(epochs=12).milestones == (2, 4)
    assert retraining(epochs=1).schedule == "constant"


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(InputError, match="thesis or corrected"):
        retraining("other")  # type: ignore[arg-type]
