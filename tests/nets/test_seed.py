import random

import numpy as np
import pytest
import torch

from nervure.nets.seed import seeded


def draw():
    return torch.rand(2).tolist(), np.random.rand(), random.random()  # noqa: NPY002


def fail():
    with seeded(1):
        draw()
        raise ZeroDivisionError


def test_a_block_draws_by_its_seed_and_leaves_the_outside_as_it_was():
    outside = torch.get_rng_state(), random.getstate()
    draws = []
    for seed in (3, 3, -4):
        with seeded(seed):
            draws.append(draw())
    assert draws[0] == draws[1] != draws[2]
    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(torch.get_rng_state(), outside[0])
    assert random.getstate() == outside[1]
