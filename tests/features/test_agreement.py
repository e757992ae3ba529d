"""Agreement of clusters with classes, held against scikit-learn and a search over all matchings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from nervure.errors import InputError
from nervure.features.agreement import (
    adjusted_rand,
    confusion_after_matching,
    effective_number,
    matched_accuracy,
    matching,
    normalised_mutual_information,
    purity,
)

MEASURES = (matched_accuracy, normalised_mutual_information, adjusted_rand, purity)


@st.composite
def groupings(draw: st.DrawFn, most: int = 6) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 40))
    classes, clusters = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(0, classes, n), rng.integers(0, clusters, n)


def best_of_all(labels: np.ndarray, clusters: np.ndarray) -> float:
    """The largest share that agrees under any one-to-one map, by trying them all."""
    found, classes = np.unique(clusters).tolist(), np.unique(labels).tolist()
    slots = classes + [None] * len(found)
    maps = (dict(zip(found, chosen, strict=True)) for chosen in set(itertools.permutations(slots, len(found))))
    return max(np.mean([own[c] == y for c, y in zip(clusters, labels, strict=True)]) for own in maps)


@settings(deadline=None, max_examples=40)
@given(groupings(most=4))
def test_accuracy_is_the_best_of_all_matchings(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert matched_accuracy(*pair) == pytest.approx(best_of_all(*pair), abs=1e-12)


@pytest.mark.parametrize("k", [5, 6])
def test_accuracy_over_all_permutations(k: int) -> None:
    rng = np.random.default_rng(k)
    labels, clusters = rng.integers(0, k, 60), rng.integers(0, k, 60)
    table = metrics.confusion_matrix(labels, clusters)
    best = max(sum(table[i, p[i]] for i in range(k)) for p in itertools.permutations(range(k)))
    assert matched_accuracy(labels, clusters) == best / 60


@settings(deadline=None)
@given(groupings())
def test_against_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert adjusted_rand(*pair) == pytest.approx(metrics.adjusted_rand_score(*pair), abs=1e-12)
    for average in ("geometric", "arithmetic"):
        expected = metrics.normalized_mutual_info_score(*pair, average_method=average)
        assert normalised_mutual_information(*pair, average) == pytest.approx(expected, abs=1e-9)
    table = metrics.cluster.contingency_matrix(*pair)
    assert purity(*pair) == table.max(axis=0).sum() / table.sum()


@settings(deadline=None)
@given(groupings(), st.integers(0, 1000))
def test_blind_to_names_and_to_order(pair: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    labels, clusters = pair
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(len(labels)), rng.permutation(6) * 7 - 20
    for measure in MEASURES:
        again = measure(rng.permutation(6)[labels][order], names[clusters][order])
        assert again == pytest.approx(measure(labels, clusters), abs=1e-12)


@settings(deadline=None)
@given(groupings(), st.integers(0, 1000))
def test_unknown_labels_are_left_out(pair: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    labels, clusters = pair
    rng = np.random.default_rng(seed)
    more = np.concatenate([labels, np.full(9, -1)]), np.concatenate([clusters, rng.integers(0, 9, 9)])
    for measure in MEASURES:
        assert measure(*more) == measure(labels, clusters)
    assert matching(*more) == matching(labels, clusters)


@settings(deadline=None)
@given(groupings())
def test_the_matching_gives_the_accuracy_and_the_diagonal(pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels, clusters = pair
    found = matching(labels, clusters)
    assert len(set(found.values())) == len(found) == min(len(set(labels)), len(set(clusters)))
    agree = np.array([found.get(c, -9) for c in clusters]) == labels
    assert agree.mean() == matched_accuracy(labels, clusters)
    table = confusion_after_matching(labels, clusters)
    assert table.counts.sum() == len(labels)
    assert np.trace(table.counts) == agree.sum()
    assert set(table.clusters) - {-1} == set(clusters)
    for (row, name), (column, cluster) in itertools.product(enumerate(table.classes), enumerate(table.clusters)):
        expected = 0 if cluster == -1 else ((labels == name) & (clusters == cluster)).sum()
        assert table.counts[row, column] == expected


def test_more_classes_than_clusters_and_more_clusters_than_classes() -> None:
    few = confusion_after_matching([0, 1, 1, 2, 2, 2], [4, 4, 4, 9, 9, 9])
    assert (few.clusters.tolist(), few.counts.tolist()) == ([-1, 4, 9], [[0, 1, 0], [0, 2, 0], [0, 0, 3]])
    many = confusion_after_matching([0, 0, 0, 1, 1, 1, 1, 1], [2, 2, 5, 3, 3, 7, 3, 7])  # the larger of the rest first
    assert (many.clusters.tolist(), many.counts.tolist()) == ([2, 3, 7, 5], [[2, 0, 0, 1], [0, 3, 2, 0]])


def test_trivial_groupings() -> None:
    assert normalised_mutual_information([3, 3], [0, 0]) == 1.0
    assert normalised_mutual_information([3, 3], [0, 1]) == 0.0
    assert normalised_mutual_information([0, 1], [0, 0], "arithmetic") == 0.0
    assert normalised_mutual_information(np.arange(12) // 6, np.arange(12) % 6) == 0.0  # not below, by rounding
    assert matched_accuracy([8], [2]) == purity([8], [2]) == adjusted_rand([8], [2]) == 1.0


def test_pairs_of_many_samples_do_not_overflow() -> None:
    labels = np.repeat(np.arange(2), 100_000)
    assert adjusted_rand(labels, 1 - labels) == 1.0


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12))
def test_effective_number_lies_between_one_and_the_clusters_that_are_there(sizes: list[int]) -> None:
    found, there = effective_number(sizes), np.count_nonzero(sizes)
    assert (found == 0) if not there else (1 - 1e-9 <= found <= there + 1e-9)
    assert effective_number([*sizes, 0]) == found
    assert effective_number(np.array(sizes) * 0.1) == pytest.approx(found)


def test_effective_number_by_hand() -> None:
    assert effective_number([7] * 10) == pytest.approx(10)
    assert effective_number([3, 1]) == pytest.approx(4 / 3**0.75)


def test_refusals() -> None:
    for labels, clusters, message in (
        ([-1, -1], [0, 1], "no sample has a known label"),
        ([], [], "no sample has a known label"),
        ([0, 1], [0], "2 labels and 1 clusters"),
        ([0.5, 1.0], [0, 1], "give \\(n,\\) whole numbers"),
        ([[0, 1]], [[0, 1]], "labels of shape \\(1, 2\\)"),
    ):
        for measure in (*MEASURES, matching, confusion_after_matching):
            with pytest.raises(InputError, match=message):
                measure(labels, clusters)
    with pytest.raises(InputError, match="give geometric or arithmetic"):
        normalised_mutual_information([0, 1], [0, 1], "max")  # type: ignore[arg-type]
    for bad in ([-1, 2], [np.nan], [[1]]):
        with pytest.raises(InputError, match="numbers from 0 up"):
            effective_number(bad)
