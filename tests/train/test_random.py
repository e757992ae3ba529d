from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from nervure.train.random import forked, seed_step


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002 (the global one is meant)


def test_the_callers_generators_go_on_as_if_nothing_had_been() -> None:
    with forked():
        seed_step(1, 2, 3)
        expected_inside = draw()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    with pytest.raises(ZeroDivisionError), forked():  # noqa: PT012 (also after a failure)
        seed_step(1, 2, 3)
        assert draw() == expected_inside
        raise ZeroDivisionError
    assert draw() == expected


def test_each_step_draws_its_own() -> None:
    with forked():
        seen = set()
        for place in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (2**40, 9, 9, 9)]:
            seed_step(*place)
            first = draw()
            seed_step(*place)
            assert draw() == first
            seen.add(first)
        assert len(seen) == 6
        assert len({one for row in seen for one in row}) == 18
