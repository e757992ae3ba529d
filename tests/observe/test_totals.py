"""Joining totals: the same as totals of the whole, also with large means."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.observe.plain import summarise
from nervure.observe.totals import joined


@given(st.integers(0, 10**6), st.integers(1, 19), st.sampled_from([0.0, 1e6]))
def test_joined_equals_numpy_over_everything(seed: int, cut: int, offset: float) -> None:
    values = np.random.default_rng(seed).normal(size=(20, 3, 4)) + offset
    one, two = (summarise(torch.from_numpy(part))[0] for part in (values[:cut], values[cut:]))
    whole = joined(one, two)
    assert (whole.examples, whole.count) == (20, 80)
    np.testing.assert_allclose(whole.total, values.sum((0, 2)), rtol=1e-12, atol=1e-12 * np.abs(values).sum())
    np.testing.assert_allclose(whole.squares / 80, values.var((0, 2)), rtol=1e-9 if offset else 1e-12)


def test_an_empty_side_is_the_other() -> None:
    one = summarise(torch.ones(2, 3, 4))[0]
    empty = type(one)(0, 0, *(torch.zeros(3, dtype=torch.float64) for _ in range(5)), one.zeros, one.zeros)
    assert joined(one, empty) is one
    assert joined(empty, one) is one
