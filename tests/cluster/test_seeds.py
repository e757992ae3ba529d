from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, jaccard_score

from nervure import cluster
from nervure.cluster.seeds import agreements, consensus, jaccards, over_seeds, seeds_from, stability
from nervure.data import from_arrays
from nervure.errors import InputError
from nervure.nets import build
from nervure.store import Run

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]

SMALL = {"latent": 4, "batch_size": 16, "network_options": {"widths": [16]}, "random_state": 0}


@given(st.integers(0, 10_000))
def test_agreement_is_scikit_learns(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (3, 30))
    found = agreements(labels)
    assert np.allclose(
        found, [[adjusted_rand_score(one, other) for other in labels] for one in labels], atol=1e-12
    )  # fmt: skip


@given(st.integers(0, 10_000))
def test_jaccard_is_scikit_learns_best(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (4, 40))
    expected = [
        np.mean([
            max(jaccard_score(labels[1] == one, row == other) for other in range(3))
            for row in np.delete(labels, 1, axis=0)
        ])
        for one in range(3)
    ]  # fmt: skip
    assert np.allclose(jaccards(labels, 1), expected)


@given(st.integers(0, 10_000))
def test_renaming_clusters_changes_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, (3, 50))
    labels[:, :4] = np.arange(4)  # each cluster has a member
    renamed = np.stack([labels[0], *(draw.permutation(4)[row] for row in labels[1:])])
    for one, other in zip(consensus(labels, 0), consensus(renamed, 0), strict=True):
        assert one.shape == other.shape == (50,)
    assert np.allclose(agreements(labels), agreements(renamed))
    assert np.allclose(jaccards(labels, 0), jaccards(renamed, 0))


def test_certainty_by_hand() -> None:
    first = np.repeat([0, 1, 2], 10)
    second = (first + 1) % 3  # the same, renamed
    third = first.copy()
    third[:4] = 1
    labels, certainty = consensus(np.stack([first, second, third]), 0)
    assert labels.tolist() == first.tolist()
    assert certainty.tolist() == pytest.approx([2 / 3] * 4 + [1.0] * 26)


def test_most_fits_outvote_the_reference() -> None:
    reference, other = np.repeat([0, 1], 10), np.repeat([0, 1], 10)
    other[0] = 1
    labels, certainty = consensus(np.stack([reference, other, other]), 0)
    assert labels[0] == 1
    assert certainty[0] == pytest.approx(2 / 3)


def test_a_cluster_without_members_has_no_index() -> None:
    assert np.isnan(jaccards(np.array([[0, 0, 2, 2], [0, 0, 1, 1]]), 0)).tolist() == [False, True, False]


def test_separate_groups_are_stable(blobs: Blobs) -> None:
    x, y = blobs
    seen: list[tuple[int, int]] = []
    model = cluster.AEKMeans(3, epochs=10, **SMALL)
    found = stability(model, x, seeds=3, progress=lambda done, of: seen.append((done, of)))
    assert found.mean == pytest.approx(1.0)
    assert found.stable == (0, 1, 2)
    assert adjusted_rand_score(y, found.labels) == pytest.approx(1.0)
    assert found.certainty.min() == 1
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.seeds == (0, 1, 2)
    assert not hasattr(model, "run_")
    assert found.matrix().rows == ("seed 0", "seed 1", "seed 2")
    assert [row[-1] for row in found.table().rows] == ["yes"] * 3
    assert found.table().title == "Stable clusters: 3 of 3"


class Fits:
    """Each fit that is made, by its seed, with what supervised it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: dict[int, dict[str, object]] = {}
        fit = cluster.DCAEKMeans.fit_run

        def noted(model: cluster.DCAEKMeans, x: object, **given: object) -> Run:
            self.made[model.random_state] = given
            return fit(model, x, **given)

        monkeypatch.setattr(cluster.DCAEKMeans, "fit_run", noted)


def test_labels_and_links_supervise_every_fit(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs
    fits, links = Fits(monkeypatch), {"must": [[0, 3]], "cannot": [[0, 1]]}
    stability(cluster.DCAEKMeans(3, epochs=1, **SMALL), x, seeds=2, labels=y, links=links)
    assert list(fits.made) == [0, 1]
    assert all(given["labels"] is y and given["links"] is links for given in fits.made.values())


def test_fits_are_kept_and_gone_on_from(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs
    model, fits = cluster.DCAEKMeans(3, epochs=2, **SMALL), Fits(monkeypatch)
    whole = stability(model, x, seeds=3)

    def interrupt(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    fits.made.clear()
    with pytest.raises(KeyboardInterrupt):
        stability(model, x, seeds=3, out=tmp_path / "fits", progress=interrupt)
    assert list(fits.made) == [0, 1]
    fits.made.clear()
    again = stability(model, x, seeds=3, out=tmp_path / "fits")
    assert list(fits.made) == [2]
    assert np.array_equal(again.agreement, whole.agreement)
    assert again.labels.tolist() == whole.labels.tolist()
    for told in ({"labels": y}, {"links": {"must": [[0, 3]], "cannot": []}}):
        with pytest.raises(InputError, match=f"fits were made with a different set of {next(iter(told))}"):
            stability(model, x, seeds=3, out=tmp_path / "fits", **told)


def test_fits_of_samples_that_are_scaled_otherwise_are_refused(blobs: Blobs, tmp_path: Path) -> None:
    plain, scaled = (from_arrays(blobs[0], validation=0, test=0, standardize=how) for how in (False, "min-max"))
    model = cluster.DCAEKMeans(3, epochs=1, **SMALL)
    stability(model, plain, seeds=2, out=tmp_path / "seeds")
    with pytest.raises(InputError, match="fits were made with a different scaling"):
        stability(model, scaled, seeds=2, out=tmp_path / "seeds")
    cluster.choose(model, plain, (2, 3), seeds=2, refit=False, out=tmp_path / "counts")
    with pytest.raises(InputError, match="fits were made with a different scaling"):
        cluster.choose(model, scaled, (2, 3), seeds=2, refit=False, out=tmp_path / "counts")


def test_fits_of_another_module_are_refused(blobs: Blobs, tmp_path: Path) -> None:
    def model(seed: int) -> cluster.DCAEKMeans:
        net = build("autoencoder", in_shape=(4,), classes=3, latent=2, widths=[8], seed=seed)
        return cluster.DCAEKMeans(3, epochs=1, network=net, random_state=0)

    found = stability(model(0), blobs[0], seeds=2, out=tmp_path / "seeds")
    again = stability(model(0), blobs[0], seeds=2, out=tmp_path / "seeds")
    assert np.array_equal(again.agreement, found.agreement)
    with pytest.raises(InputError, match="fits were made with a different network"):
        stability(model(1), blobs[0], seeds=2, out=tmp_path / "seeds")


def test_a_fit_that_is_there_is_not_made_again(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cluster.DCAEKMeans(3, epochs=2, **SMALL).fit(blobs[0])
    whole, fits = stability(model, blobs[0], seeds=2), Fits(monkeypatch)
    found = stability(model, blobs[0], seeds=2, first=model.labels_)
    assert list(fits.made) == [1]
    assert np.array_equal(found.agreement, whole.agreement)


def test_nothing_is_stable_in_one_group() -> None:
    x = np.random.default_rng(0).normal(size=(240, 6))
    found = stability(cluster.AEKMeans(5, epochs=5, **SMALL), x, seeds=4)
    assert found.stable == ()
    assert found.mean < 0.6
    assert found.certainty.mean() < 0.8
    assert found.table().title == "Stable clusters: 0 of 5"


def test_seeds_follow_the_estimators_own() -> None:
    assert seeds_from(cluster.AEKMeans(2, random_state=5), 2) == (5, 6)
    assert seeds_from(cluster.AEKMeans(2), 2) == (0, 1)
    for wrong in (1, 0, True, 2.5):
        with pytest.raises(InputError, match="seeds"):
            seeds_from(cluster.AEKMeans(2), wrong)  # type: ignore[arg-type]


def test_the_reference_agrees_most() -> None:
    same, odd = np.repeat([0, 1], 10), np.arange(20) % 2
    assert over_seeds(np.stack([odd, same, same]), (0, 1, 2)).reference == 1


def test_three_quarters_are_stable() -> None:
    labels = np.repeat([0, 1], 8)
    found = dataclasses.replace(over_seeds(np.stack([labels, labels]), (0, 1)), jaccard=np.array([0.75, 0.7499]))
    assert found.stable == (0,)
