"""Pairs of samples that belong together, and pairs that do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nervure.data.counter import key, uniform
from nervure.data.dataset import Indices
from nervure.errors import InputError

__all__ = ["Links", "as_links", "contradictions", "crowd", "draw_links", "together"]

_FIELDS = ("must", "cannot")

_STARTS = 16
"""Samples at which the search for a crowd begins."""


class Links(NamedTuple):
    """Pairs (m, 2) that must be in one cluster and pairs (c, 2) that cannot, as positions of samples.

    >>> Links(np.array([[0, 1]]), np.array([[1, 2]])).must.tolist()
    [[0, 1]]
    """

    must: Indices
    cannot: Indices


Given = Links | Mapping[str, ArrayLike] | Sequence[ArrayLike]


def as_links(given: Given, n: int) -> Links:
    """Links over ``n`` samples, checked: of ``{"must": pairs, "cannot": pairs}`` or ``(must, cannot)``.

    Pairs outside the samples and pairs that contradict each other are refused by name.

    >>> as_links({"must": [(0, 1), (1, 2)]}, 3).must.tolist()
    [[0, 1], [1, 2]]
    >>> as_links({"must": [(0, 1), (1, 2)], "cannot": [(0, 2)]}, 3)
    Traceback (most recent call last):
    nervure.errors.InputError: links: samples 0 and 2 cannot be together, yet must be by 0 - 1 - 2; drop one of these
    """
    if isinstance(given, Mapping):
        stray = set(given) - set(_FIELDS)
        if stray:
            raise InputError(f"links: unknown kind {min(stray)!r}; there are: must, cannot")
        parts = [given.get(name, ()) for name in _FIELDS]
    else:
        parts = list(given)
        if len(parts) != 2:
            raise InputError(f"links: {len(parts)} parts; give two, pairs that must and pairs that cannot be together")
    links = Links(*(_pairs(part, n, name) for part, name in zip(parts, _FIELDS, strict=True)))
    wrong = contradictions(links, n)
    if len(wrong):
        first, second = (int(one) for one in wrong[0])
        way = " - ".join(str(one) for one in _way(links.must, first, second))
        raise InputError(
            f"links: samples {first} and {second} cannot be together, yet must be by {way}; drop one of these"
        )
    return links


def together(links: Links, n: int) -> Indices:
    """The group (n,) of each sample that its must-links put it into; groups are numbered as they first occur.

    >>> together(Links(np.array([[0, 2]]), np.empty((0, 2), int)), 4).tolist()
    [0, 1, 0, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(links.must), np.int8)
    graph = coo_array((ones, (links.must[:, 0], links.must[:, 1])), shape=(n, n))
    return cast(Indices, connected_components(graph, directed=False)[1].astype(np.int64))


def contradictions(links: Links, n: int | None = None) -> Indices:
    """The cannot-links (w, 2) whose two samples must be together, by however many must-links.

    >>> links = Links(np.array([[0, 1], [1, 2]]), np.array([[0, 2], [0, 3]]))
    >>> contradictions(links).tolist()
    [[0, 2]]
    """
    most = max((int(part.max(initial=-1)) for part in links), default=-1) + 1
    group = together(links, most if n is None else n)
    same: NDArray[np.bool_] = group[links.cannot[:, 0]] == group[links.cannot[:, 1]]
    return links.cannot[same]


def crowd(links: Links, n: int, enough: int | None = None) -> Indices:
    """Samples that all cannot be together, two by two, as many as a greedy search finds: each needs its own cluster.

    The search begins at a few of those with most links, and ends when it has found ``enough``.

    >>> crowd(Links(np.array([[2, 3]]), np.array([[0, 1], [1, 2], [0, 3], [4, 5]])), 6).tolist()
    [0, 1, 2]
    """
    group = together(links, n)
    apart: dict[int, set[int]] = {}
    for one, other in group[links.cannot].tolist():
        apart.setdefault(one, set()).add(other)
        apart.setdefault(other, set()).add(one)
    best: list[int] = []
    for start in sorted(apart, key=lambda one: (-len(apart[one]), one))[:_STARTS]:
        found, open_ = [start], set(apart[start])
        while open_ and len(found) != enough:
            following = min(open_, key=lambda one: (-len(apart[one] & open_), one))
            found.append(following)
            open_ &= apart[following]
        best = max(best, found, key=len)
        if len(best) == enough:
            break
    return np.sort(np.array([int(np.flatnonzero(group == one)[0]) for one in best], dtype=np.int64))


def draw_links(y: ArrayLike, count: int, seed: int = 0) -> Links:
    """``count`` random pairs of samples with known labels (n,), each linked as its labels say; none twice.

    >>> found = draw_links([0, 0, 1, -1], 3)
    >>> found.must.tolist(), sorted(found.cannot.tolist())
    ([[0, 1]], [[0, 2], [1, 2]])
    """
    labels = np.asarray(y)
    known = np.flatnonzero(labels >= 0)
    every = len(known) * (len(known) - 1) // 2
    if not 0 <= count <= every:
        raise InputError(f"links: {count} pairs of {len(known)} labelled samples; give 0 to {every}")
    chosen: dict[tuple[int, int], None] = {}
    import torch

    turn = 0
    while len(chosen) < count:
        draws = uniform(torch.arange(2 * count) + 2 * count * turn, key(seed, 5), 2).double().numpy()
        for one, other in known[(draws * len(known)).astype(np.int64)].tolist():
            if one != other and len(chosen) < count:
                chosen[min(one, other), max(one, other)] = None
        turn += 1
    pairs = _array(sorted(chosen))
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    return Links(pairs[same], pairs[~same])


def _pairs(given: ArrayLike, n: int, name: str) -> Indices:
    pairs = np.asarray(given)
    if not pairs.size:
        return np.empty((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InputError(f"links: {name} of shape {pairs.shape} and type {pairs.dtype}; give pairs of whole numbers")
    wrong = ((pairs < 0) | (pairs >= n)).any(axis=1)
    if wrong.any():
        first, second = pairs[wrong][0]
        raise InputError(f"links: {name} names the pair {first}, {second}, outside the samples 0 to {n - 1}")
    return cast(Indices, pairs.astype(np.int64))


def _array(pairs: list[tuple[int, int]]) -> Indices:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _way(must: Indices, start: int, end: int) -> list[int]:
    """A shortest chain of must-links from one sample to another."""
    beside: dict[int, list[int]] = {}
    for one, other in must.tolist():
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    before, waiting = {start: start}, deque([start])
    while waiting and end not in before:
        one = waiting.popleft()
        for other in beside.get(one, ()):
            if other not in before:
                before[other] = one
                waiting.append(other)
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]
