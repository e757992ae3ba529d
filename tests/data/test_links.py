from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervure.data.links import Links, as_links, contradictions, crowd, draw_links, together
from nervure.errors import InputError

N = 8
PAIRS = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=8)


def links(must: list[tuple[int, int]], cannot: list[tuple[int, int]]) -> Links:
    return Links(*(np.array(part, dtype=np.int64).reshape(-1, 2) for part in (must, cannot)))


def reachable(must: list[tuple[int, int]]) -> np.ndarray:
    """Warshall's closure, by a triple loop."""
    near = np.eye(N, dtype=bool)
    for one, other in must:
        near[one, other] = near[other, one] = True
    for k, i, j in itertools.product(range(N), repeat=3):
        near[i, j] |= near[i, k] and near[k, j]
    return near


@given(PAIRS, PAIRS)
def test_against_the_closure(must: list[tuple[int, int]], cannot: list[tuple[int, int]]) -> None:
    near = reachable(must)
    group = together(links(must, cannot), N)
    assert np.array_equal(group[:, None] == group, near)
    wrong = [list(pair) for pair in cannot if near[pair]]
    assert contradictions(links(must, cannot)).tolist() == wrong
    if wrong:
        with pytest.raises(InputError, match=f"samples {wrong[0][0]} and {wrong[0][1]} cannot be together"):
            as_links((must, cannot), N)
        return
    found = as_links({"must": must, "cannot": cannot}, N)
    assert (found.must.tolist(), found.cannot.tolist()) == (
        [list(pair) for pair in must],
        [list(pair) for pair in cannot],
    )


@given(PAIRS)
def test_a_crowd_is_apart_two_by_two(cannot: list[tuple[int, int]]) -> None:
    told = links([(0, 1)], [pair for pair in cannot if len(set(pair)) == 2 and set(pair) != {0, 1}])
    found, group = crowd(told, N), together(told, N)
    apart = {frozenset(pair) for pair in group[told.cannot].tolist()}
    assert all(frozenset(pair) in apart for pair in itertools.combinations(group[found].tolist(), 2))
    assert len(found) >= 2 * bool(apart)


def test_a_crowd_among_many_links_is_found_at_once() -> None:
    every = links([], list(itertools.combinations(range(400), 2)))
    started = time.perf_counter()
    assert len(crowd(every, 400, 11)) == 11
    sides = links([], [(one, other) for one in range(300) for other in range(300, 600)])  # no three of them
    assert len(crowd(sides, 600, 11)) == 2
    assert time.perf_counter() - started < 5


def test_the_message_shows_the_chain() -> None:
    with pytest.raises(InputError, match="samples 4 and 1 cannot be together, yet must be by 4 - 2 - 7 - 1; drop one"):
        as_links(([(2, 7), (1, 7), (4, 2), (0, 3)], [(0, 1), (4, 1)]), N)
    with pytest.raises(InputError, match="samples 3 and 3 cannot be together, yet must be by 3;"):
        as_links({"cannot": [(3, 3)]}, N)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"must": [(0, 8)]}, "must names the pair 0, 8, outside the samples 0 to 7"),
        ({"cannot": [(-1, 2)]}, "cannot names the pair -1, 2"),
        ({"must": [(0, 1, 2)]}, "give pairs of whole numbers"),
        ({"must": [(0.5, 1.0)]}, "give pairs of whole numbers"),
        ({"may": [(0, 1)]}, "unknown kind 'may'; there are: must, cannot"),
        ([(0, 1)], "1 parts; give two"),
    ],
)
def test_bad_links(bad: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_links(bad, N)  # type: ignore[arg-type]


def test_none_at_all() -> None:
    empty = as_links({}, N)
    assert (empty.must.shape, empty.cannot.shape) == ((0, 2), (0, 2))
    assert contradictions(empty).shape == (0, 2)


@given(st.lists(st.integers(-1, 3), min_size=4, max_size=40), st.integers(0, 5), st.floats(0, 1))
def test_drawn_links_say_what_the_labels_say(y: list[int], seed: int, share: float) -> None:
    labels = np.array(y)
    known = (labels >= 0).sum()
    count = int(share * known * (known - 1) / 2)
    found = draw_links(labels, count, seed)
    must, cannot = (set(map(tuple, part.tolist())) for part in found)
    assert len(must) + len(cannot) == count
    assert not must & cannot
    assert all(labels[i] == labels[j] >= 0 for i, j in must)
    assert all(labels[i] != labels[j] and min(labels[i], labels[j]) >= 0 for i, j in cannot)
    assert not len(contradictions(found))
    with pytest.raises(InputError, match="labelled samples; give 0 to"):
        draw_links(labels, int(known * (known - 1) // 2) + 1)
