from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nervure.data import counter

MASK = (1 << 64) - 1


def splitmix(state: int, count: int) -> list[int]:
    """The published generator, number by number, in Python's own integers."""
    words = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        words.append(z ^ (z >> 31))
    return words


def test_reference_values_of_seed_1234567():
    words = splitmix(1234567, 3)
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    steps = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1234567)
    assert counter.mix(steps).tolist() == words


@given(st.integers(0, MASK), st.integers(0, 2**40))
def test_torch_stream_is_the_published_one(seed, index):
    golden = 0x9E3779B97F4A7C15
    z = (index * golden + seed) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    expected = [word >> 40 for word in splitmix(z ^ (z >> 31), 3)]
    assert (counter.uniform(torch.tensor([index]), seed, 3)[0] * 2**24).long().tolist() == expected


def test_uniform_and_normal_pass_a_test_of_fit():
    index = torch.arange(400)
    assert stats.kstest(counter.uniform(index, 5, 50).flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(counter.normal(index, 5, 51).flatten().numpy(), "norm").pvalue > 0.01


def test_neighbours_and_keys_are_uncorrelated():
    index = torch.arange(5000)
    one, two = counter.uniform(index, counter.key(0, 0), 2).T.numpy()
    other = counter.uniform(index, counter.key(0, 1), 1)[:, 0].numpy()
    for pair in ((one, two), (one[1:], one[:-1]), (one, other)):
        assert abs(np.corrcoef(*pair)[0, 1]) < 0.05


@given(st.integers(0, 200), st.integers(-(2**70), 2**70))
def test_order_is_a_permutation(n, seed):
    assert sorted(counter.order(n, seed)) == list(range(n))


def test_order_leaves_no_place_favoured():
    where = np.array([np.argmax(counter.order(5, seed) == 0) for seed in range(2000)])
    assert stats.chisquare(np.bincount(where)).pvalue > 0.01


@pytest.mark.parametrize("words", [(0, 0), (0, 1), (1, 0), (0,)])
def test_keys_differ(words):
    others = [(0, 0), (0, 1), (1, 0), (0,)]
    others.remove(words)
    assert counter.key(*words) not in {counter.key(*other) for other in others}
