"""The search over K: spec ssim-kmeans-pruning, 2.4, 2.5 and 8."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score
from torch import Tensor

from nervure.errors import InputError, InterruptedWork
from nervure.features.silhouette import score
from nervure.features.validity import dunn
from nervure.prune.ssim import search as module
from nervure.prune.ssim.kmeans import STOPS
from nervure.prune.ssim.methods import Agglomerative, SSIMKMeans
from nervure.prune.ssim.profiles import EFFORTS, PROFILES, Effort, effort_of, profile_of
from nervure.prune.ssim.search import LayerSearch, job_of, search, search_layer, shuffled

SMALL = Effort(None, 2, null_shares=4, null_runs=1)
METHOD = SSIMKMeans(PROFILES["corrected"])


def filters(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestEffort:
    @pytest.mark.parametrize(
        ("n", "numbers", "runs"), [(64, 62, 620), (128, 126, 1260), (256, 254, 2540), (512, 510, 5100)]
    )
    def test_full_tries_every_number(self, n: int, numbers: int, runs: int) -> None:
        full = EFFORTS["full"]
        assert full.numbers(n).tolist() == list(range(2, n))
        assert len(full.numbers(n)) == numbers
        assert len(full.numbers(n)) * full.runs == runs
        assert not full.near

    def test_fast_tries_like_shares_of_every_layer(self) -> None:
        fast = EFFORTS["fast"]
        assert fast.numbers(512).tolist() == [2, *range(16, 512, 16), 511]
        assert {2 * k for k in fast.numbers(256)[1:-1]} == set(fast.numbers(512)[1:-1])
        assert fast.around(512, 100).tolist() == list(range(92, 109))

    @pytest.mark.parametrize("n", [1, 2, 3, 5])
    @pytest.mark.parametrize("name", EFFORTS)
    def test_small_layers(self, n: int, name: str) -> None:
        found = search_layer("a", filters(n, 2, 3, 3), METHOD, name)
        assert set(found.rows["k"].tolist()) == set(range(2, n))
        assert found.natural("distance") == n if n < 3 else found.natural("distance") < n

    def test_names(self) -> None:
        with pytest.raises(InputError, match="did you mean 'full'"):
            effort_of("ful")
        with pytest.raises(InputError, match="did you mean 'thesis'"):
            profile_of("theses")


class TestLayer:
    def test_rows_say_what_was_made(self) -> None:
        weight = filters(10, 3, 3, 3)
        found = search_layer("a", weight, METHOD, SMALL)
        assert found.done == {(False, k, run) for k in range(2, 10) for run in (0, 1)} | {
            (True, k, 0) for k in (2, 3, 5, 8, 9)
        }
        grouper = METHOD.prepare(weight)
        for row, labels in zip(found.rows, found.labels, strict=True):
            if not row["null"]:
                one = grouper.cluster([job_of(0, "a", int(row["k"]), int(row["run"]))])[0]
                np.testing.assert_array_equal(one.labels, labels)
                assert row["dunn"] == dunn(grouper.matrix, labels)
                rows = grouper.values.flatten(1).double().numpy()
                assert row["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(rows, labels))
                assert row["davies_bouldin"] == pytest.approx(davies_bouldin_score(rows, labels), rel=1e-6)
                assert row["distance"] == pytest.approx(score(grouper.matrix, labels))
                assert (row["rounds"], STOPS[row["stop"]]) == (one.rounds, one.stop)
        best = found.rows[~found.rows["null"] & (found.rows["k"] == 4)]
        assert found.best_run(4, "distance") == best["run"][best["distance"].argmax()]

    def test_then_looks_around_the_best(self) -> None:
        effort = Effort(4, 2, near=1, near_runs=3, null_shares=4, null_runs=1)
        found = search_layer("a", filters(24, 3, 3, 3), METHOD, effort)
        coarse = {2, 6, 12, 18, 23}
        real = found.rows[~found.rows["null"]]
        added = {int(k) for k in real["k"]} - coarse
        best = next(k for k in coarse if {k - 1, k + 1} & added)
        assert {int(k) for k in real["k"][real["run"] == 2]} == {k for k in (best - 1, best, best + 1) if 2 <= k < 24}

    def test_further_runs_in_the_file_do_not_move_the_best(self, tmp_path: Path) -> None:
        few = Effort(4, 1, near=1, near_runs=1, null_shares=4, null_runs=1)
        weight = filters(24, 3, 3, 3, seed=5)
        alone = search_layer("a", weight, METHOD, few)
        more = search_layer("a", weight, METHOD, Effort(4, 4, null_shares=4, null_runs=1), file=tmp_path / "a.npz")
        assert alone.done - more.done == {(False, 11, 0), (False, 13, 0)}
        assert more.natural("distance") != 12
        assert search_layer("a", weight, METHOD, few, file=tmp_path / "a.npz").done == alone.done | more.done

    def test_seeds_follow_the_name(self) -> None:
        weight = filters(12, 3, 3, 3)
        one, same, other = (search_layer(name, weight, METHOD, SMALL) for name in ("a", "a", "b"))
        np.testing.assert_array_equal(one.labels, same.labels)
        assert (one.labels != other.labels).any()

    def test_one_run_is_enough_without_randomness(self) -> None:
        found = search_layer("a", filters(8, 3, 3, 3), Agglomerative(), SMALL)
        assert set(found.rows["run"].tolist()) == {0}

    def test_shuffled_weights_are_the_same_weights(self) -> None:
        weight = filters(6, 3, 3, 3)
        moved = shuffled(weight, 0)
        assert moved.shape == weight.shape
        assert not torch.equal(moved, weight)
        assert torch.equal(moved.flatten().sort().values, weight.flatten().sort().values)


class TestNull:
    def test_the_published_silhouette_peaks_on_noise_and_the_corrected_one_does_not(self) -> None:
        weight = filters(64, 16, 3, 3)
        found = search_layer("a", weight, SSIMKMeans(PROFILES["thesis"]), Effort(None, 5, null_runs=1))
        assert 24 <= found.natural("thesis_min") <= 36
        assert found.table("thesis_min").mean.max() == pytest.approx(0.10, abs=0.02)
        assert found.table("distance").mean.max() < 0.05

    def test_no_search_goes_without_a_null_curve(self) -> None:
        for effort in EFFORTS.values():
            assert effort.null_runs >= 1
            assert len(effort.numbers(64, null=True)) > 10
        weight = filters(2, 16, 3, 3)[torch.arange(32) % 2] + 0.05 * filters(32, 16, 3, 3, seed=1)
        found = search_layer("a", weight, METHOD, "quick")
        assert found.natural("distance") == 2
        assert found.table("distance").mean.max() > 0.5 > 0.1 > found.table("distance", null=True).mean.max()


class TestResume:
    def layers(self) -> dict[str, Tensor]:
        return {"features.0": filters(10, 3, 3, 3), "features.3": filters(12, 10, 3, 3, seed=1)}

    def test_stopped_and_gone_on_with_is_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = search(self.layers(), METHOD, SMALL, folder=tmp_path / "whole")
        clock = iter(range(10**6))
        with monkeypatch.context() as patch:
            patch.setattr(module, "TOGETHER", 3)
            patch.setattr(module, "KEEP_EVERY", 0)
            patch.setattr(module.time, "monotonic", lambda: next(clock))
            with pytest.raises(InterruptedWork, match=r"0 of 2 layers searched; the time .* go on with"):
                search(self.layers(), METHOD, SMALL, folder=tmp_path / "parts", minutes=0.1)
        with np.load(tmp_path / "parts/features.0.npz") as held:
            assert 0 < len(held["rows"]) < len(whole["features.0"].rows)
        parts = search(self.layers(), METHOD, SMALL, folder=tmp_path / "parts")
        for name, one in whole.items():
            np.testing.assert_array_equal(one.rows, parts[name].rows)
            np.testing.assert_array_equal(one.labels, parts[name].labels)

    def test_nothing_is_done_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[tuple[str, int, int]] = []
        first = search(self.layers(), METHOD, SMALL, folder=tmp_path, progress=lambda *what: told.append(what))
        assert told == [("features.0", 1, 2), ("features.3", 2, 2)]
        monkeypatch.setattr(SSIMKMeans, "prepare", lambda *_: pytest.fail("clustered again"))
        again = search(self.layers(), METHOD, SMALL, folder=tmp_path)
        np.testing.assert_array_equal(first["features.3"].rows, again["features.3"].rows)

    def test_order_and_threads_do_not_matter(self) -> None:
        layers = self.layers()
        one = search(layers, METHOD, SMALL)
        torch.set_num_threads(2)
        other = search(dict(reversed(layers.items())), METHOD, SMALL)
        for name in layers:
            np.testing.assert_array_equal(one[name].rows, other[name].rows)

    def test_time_over(self) -> None:
        with pytest.raises(InterruptedWork, match="give a folder"):
            search_layer("a", filters(6, 2, 3, 3), METHOD, SMALL, deadline=time.monotonic() - 1)

    def test_refuses_a_file_of_other_work(self, tmp_path: Path) -> None:
        file = tmp_path / "a.npz"
        search_layer("a", filters(6, 2, 3, 3), METHOD, SMALL, file=file)
        with pytest.raises(InputError, match="another weights"):
            search_layer("a", filters(6, 2, 3, 3, seed=1), METHOD, SMALL, file=file)
        with pytest.raises(InputError, match="another seed"):
            search_layer("a", filters(6, 2, 3, 3), METHOD, SMALL, seed=1, file=file)
        with pytest.raises(InputError, match="another method"):
            search_layer("a", filters(6, 2, 3, 3), SSIMKMeans(PROFILES["thesis"]), SMALL, file=file)
        with np.load(file) as held:
            parts = dict(held)
        parts["rows"] = parts["rows"][["null", "k", "run", "initial", "thesis_min", "sim_max", "distance"]]
        with file.open("wb") as handle:
            np.savez_compressed(handle, **parts)
        with pytest.raises(InputError, match=r"by another version of Nervure; remove it"):
            search_layer("a", filters(6, 2, 3, 3), METHOD, SMALL, file=file)
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(InputError, match="not a search that Nervure wrote"):
            search_layer("a", filters(6, 2, 3, 3), METHOD, SMALL, file=file)


def test_nothing_to_choose() -> None:
    assert LayerSearch(2).natural("distance") == 2
