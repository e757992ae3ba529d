"""K-means by SSIM: spec ssim-kmeans-pruning, 2.3, 2.6 and 8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from nervure.errors import InputError
from nervure.features.silhouette import score
from nervure.features.ssim import Filters, Measure
from nervure.prune.ssim import kmeans as module
from nervure.prune.ssim.initial import far_apart, initial_filters, initial_groups
from nervure.prune.ssim.kmeans import (
    Clustering,
    Job,
    Memory,
    fill_empty,
    kmeans,
    kmeans_many,
    seed_of,
)


def filters(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Swapping:
    """A layer in which every filter is less like its own centroid than the other: labels swap for ever."""

    n = 4
    matrix = np.eye(4)

    def with_means(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[0.0 if i in group else 1.0 for i in range(4)] for group in groups])


class TestSchedule:
    @pytest.mark.parametrize(
        ("n", "limits"),
        [
            (64, {5: (2, 10), 4: (11, 14), 3: (15, 20), 2: (21, 31), 1: (32, 63)}),
            (128, {5: (2, 20), 4: (21, 28), 3: (29, 40), 2: (41, 62), 1: (63, 127)}),
            (256, {5: (2, 40), 4: (41, 56), 3: (57, 80), 2: (81, 112), 1: (113, 255)}),
            (512, {5: (2, 80), 4: (81, 112), 3: (113, 160), 2: (161, 224), 1: (225, 511)}),
        ],
    )
    def test_published(self, n: int, limits: dict[int, tuple[int, int]]) -> None:
        expected = {k: count for count, (low, high) in limits.items() for k in range(low, high + 1)}
        assert {k: initial_filters(n, k) for k in range(2, n)} == expected

    def test_never_more_than_there_are(self) -> None:
        assert all(k * initial_filters(n, k) <= n for n in range(1, 200) for k in range(1, n + 1))


class TestStart:
    def test_distinct_filters_and_the_most_similar_ones(self) -> None:
        layer = Filters(filters(20, 4, 3, 3))
        order = np.argsort(-layer.matrix, axis=1, kind="stable")
        seeds = np.array([3, 17, 5, 0])
        groups = initial_groups(seeds, order, 5)
        taken = np.concatenate(groups)
        assert len(set(taken.tolist())) == 20
        assert all(seed in group for seed, group in zip(seeds, groups, strict=True))
        likely = [i for i in order[3] if i not in seeds][:4]
        assert set(groups[0].tolist()) == {3, *likely}

    def test_one_filter_each_gives_centroids_equal_to_filters(self) -> None:
        order = np.argsort(-Filters(filters(9, 4, 3, 3)).matrix, axis=1)
        groups = initial_groups(np.array([4, 1]), order, 1)
        assert [group.tolist() for group in groups] == [[4], [1]]


class TestFarApart:
    @given(st.integers(1, 16), st.integers(0, 10**6), st.sampled_from(["random", "duplicates", "zeros"]))
    def test_always_k_different_filters(self, k: int, seed: int, kind: str) -> None:
        weight = filters(16, 3, 3, 3, seed=seed)
        if kind != "random":
            weight[:] = weight[3] if kind == "duplicates" else 0
        layer = Filters(weight)
        assert len(set(far_apart(Memory(layer).matrix, k, seed).tolist())) == k
        assert kmeans(layer, k, seed=seed, init="k-means++").k == k

    def test_equal_filters_only_once_no_others_are_left(self) -> None:
        weight = filters(4, 3, 3, 3)[[0, 0, 0, 1, 2, 3]]
        matrix = Memory(Filters(weight)).matrix
        for seed in range(20):
            seeds = far_apart(matrix, 5, seed).tolist()
            assert {max(0, one - 2) for one in seeds[:4]} == {0, 1, 2, 3}
            assert seeds[4] < 3

    def test_is_drawn_by_squared_distance(self) -> None:
        """From filter 0, the others are 0.5 and 1 away: one in five draws is the nearer."""
        matrix = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], np.float32)
        seeds = [far_apart(matrix, 2, seed).tolist() for seed in range(3000)]
        second = [two for one, two in seeds if one == 0]
        assert len(second) == pytest.approx(1000, abs=100)
        assert second.count(1) / len(second) == pytest.approx(0.2, abs=0.04)

    def test_begins_at_filters_themselves_and_is_the_same_for_a_seed(self) -> None:
        layer = Filters(filters(40, 4, 3, 3))
        jobs = [Job(6, seed_of(0, "conv1", 6, run)) for run in range(4)]
        found = kmeans_many(layer, jobs, init="k-means++")
        assert {one.initial for one in found} == {1}
        assert {one.initial for one in kmeans_many(layer, jobs)} == {5}
        for job, one in zip(jobs, found, strict=True):
            alone = kmeans(layer, 6, seed=job.seed, init="k-means++", memory=False)
            np.testing.assert_array_equal(one.labels, alone.labels)
        assert len({one.labels.tobytes() for one in found}) == 4

    def test_finds_many_planted_groups_that_even_draws_miss(self) -> None:
        centres = filters(12, 1, 8, 3, 3)
        layer = Filters((centres + 0.1 * filters(12, 4, 8, 3, 3, seed=1)).flatten(0, 1))
        true = np.repeat(np.arange(12), 4)

        def mean(init: str) -> float:
            runs = kmeans_many(layer, [Job(12, seed, 1) for seed in range(10)], init=init)  # type: ignore[arg-type]
            return float(np.mean([adjusted_rand_score(true, one.labels) for one in runs]))

        assert mean("k-means++") > 0.9 > mean("multi-point")

    def test_refuses_another_name(self) -> None:
        with pytest.raises(InputError, match=r"init = 'kmeans'; give one of multi-point, k-means\+\+"):
            kmeans(Filters(filters(6, 2, 3, 3)), 2, seed=0, init="kmeans")  # type: ignore[arg-type]


class TestRounds:
    @given(st.integers(1, 16), st.integers(0, 10**6), st.sampled_from(["random", "duplicates", "zeros"]))
    def test_exactly_k_clusters(self, k: int, seed: int, kind: str) -> None:
        weight = filters(16, 3, 3, 3, seed=seed)
        if kind != "random":
            weight[4:12] = weight[3] if kind == "duplicates" else 0
        found = kmeans(Filters(weight), k, seed=seed)
        assert sorted(set(found.labels.tolist())) == list(range(k))
        assert found.rounds <= 100
        assert found.stop in module.STOPS
        assert len(set(found.representatives().tolist())) == k

    def test_assigns_to_the_most_similar_centroid(self) -> None:
        layer = Filters(filters(30, 4, 3, 3))
        found = kmeans(layer, 6, seed=3)
        assert found.stop == "converged"
        groups = [np.flatnonzero(found.labels == cluster) for cluster in range(6)]
        expected = layer.with_means(groups)
        if not found.repaired:
            np.testing.assert_array_equal(expected.round(5).argmax(0), found.labels)
        np.testing.assert_allclose(found.closeness, expected[found.labels, np.arange(30)], atol=1e-5)

    def test_a_cycle_ends_it(self) -> None:
        found = kmeans(Swapping(), 2, seed=0, initial=2, memory=False)
        assert found.stop == "cycle"
        assert found.rounds == 3

    def test_the_limit_ends_it(self) -> None:
        found = kmeans(Swapping(), 2, seed=0, initial=2, limit=2, memory=False)
        assert (found.stop, found.rounds) == ("limit", 2)

    def test_an_empty_cluster_gets_the_loosest_filter(self) -> None:
        columns = np.array([[0.9, 0.2, 0.8, 0.7], [0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1]], np.float32)
        labels = np.array([0, 0, 0, 2])
        assert fill_empty(labels, columns, 3) == 1
        assert labels.tolist() == [0, 1, 0, 2]

    def test_more_than_one_empty_cluster_in_order(self) -> None:
        columns = np.array([[0.9, 0.2, 0.8, 0.3], *[[0.0] * 4] * 2], np.float32)
        labels = np.zeros(4, np.int64)
        assert fill_empty(labels, columns, 3) == 2
        assert labels.tolist() == [0, 1, 0, 2]


class TestSame:
    def test_memory_changes_no_label(self) -> None:
        for kind in ("window3", "global", "kernel"):
            layer = Filters(filters(40, 5, 3, 3, seed=2), Measure(kind))  # type: ignore[arg-type]
            memory = Memory(layer)
            for k in (2, 9, 15, 25, 39):
                jobs = [Job(k, seed_of(0, k, run)) for run in range(3)]
                plain = kmeans_many(layer, jobs, memory=False)
                for one, other in zip(kmeans_many(layer, jobs, memory=memory), plain, strict=True):
                    np.testing.assert_array_equal(one.labels, other.labels)
                    assert (one.rounds, one.repaired, one.stop) == (other.rounds, other.repaired, other.stop)

    def test_nor_does_a_small_one_company_or_threads(self) -> None:
        layer = Filters(filters(40, 5, 3, 3))
        jobs = [Job(k, seed_of(1, k)) for k in range(2, 40, 5)]
        alone = [kmeans(layer, job.k, seed=job.seed).labels for job in jobs]
        torch.set_num_threads(2)
        together = kmeans_many(layer, jobs[::-1], memory=Memory(layer, limit=4 * 40 * 3))[::-1]
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other.labels)

    def test_a_small_memory_stays_small(self) -> None:
        memory = Memory(Filters(filters(10, 2, 3, 3)), limit=4 * 10 * 2)
        memory.similarity([np.array([i, i + 1]) for i in range(5)])
        assert len(memory._known) == 2

    def test_other_seeds_give_other_clusters(self) -> None:
        layer = Filters(filters(40, 5, 3, 3))
        found = kmeans_many(layer, [Job(10, seed) for seed in range(5)])
        assert len({one.labels.tobytes() for one in found}) == 5


def test_planted_groups_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 1, 16, 3, 3, generator=generator)
    noise = 0.3 * torch.randn(3, 20, 16, 3, 3, generator=generator)
    layer = Filters((centres + noise).flatten(0, 1))
    runs = kmeans_many(layer, [Job(3, seed_of(0, run)) for run in range(30)])
    best = max(runs, key=lambda one: score(layer.matrix, one.labels))
    assert adjusted_rand_score(np.repeat([0, 1, 2], 20), best.labels) >= 0.95


def test_the_representative_is_the_member_most_like_the_centroid() -> None:
    layer = Filters(filters(24, 4, 3, 3))
    found = kmeans(layer, 5, seed=0)
    for cluster, kept in enumerate(found.representatives()):
        members = np.flatnonzero(found.labels == cluster)
        similar = layer.with_means([members])[0, members]
        assert kept == members[similar.round(5).argmax()]


def test_of_equals_the_first_represents() -> None:
    assert Clustering(np.array([0, 0, 0]), np.array([0.5, 0.9, 0.9])).representatives().tolist() == [1]


def test_seeds_are_fixed_for_good() -> None:
    assert len({seed_of(0, layer, k, run) for layer in "ab" for k in range(9) for run in range(9)}) == 162


def test_refusals() -> None:
    layer = Filters(filters(6, 2, 3, 3))
    with pytest.raises(InputError, match="k = 7 for 6 filters"):
        kmeans(layer, 7, seed=0)
    with pytest.raises(InputError, match="more than 6 filters"):
        kmeans(layer, 3, seed=0, initial=3)
