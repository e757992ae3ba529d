from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.mixture import GaussianMixture

from nervure import cluster, data
from nervure.cluster import counts
from nervure.cluster.counts import Count, Fit, Kept, Latents, fitted, price, run_in, summary
from nervure.cluster.heads import Group
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.heads.mixture import MixtureHead
from nervure.data.dataset import Dataset
from nervure.errors import InputError

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]
SMALL = {"epochs": 5, "latent": 2, "network_options": {"widths": [8]}, "random_state": 0}


@pytest.fixture
def ds(blobs: Blobs) -> Dataset:
    return data.from_arrays(blobs[0], splits={"train": np.arange(150)}, validation=0, test=0, standardize="standard")


def test_a_fit_is_measured_as_scikit_learn_measures(ds: Dataset) -> None:
    estimator = cluster.AEKMeans(**SMALL)
    found = fitted(estimator, ds, 4, 3)
    again = cluster.AEKMeans(4, **{**SMALL, "random_state": 3}).fit(ds)
    assert found.labels.tolist() == again.labels_.tolist()
    assert found.silhouette == pytest.approx(
        silhouette_score(again.transform(ds).astype(np.float64), again.labels_), rel=1e-9
    )  # fmt: skip
    assert (found.k, found.seed, found.bic) == (4, 3, None)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_the_price_of_a_mixture_is_scikit_learns(latents: torch.Tensor, covariance: str) -> None:
    head = MixtureHead(3, 3, covariance=covariance, floor=1e-3)
    head.settle(Group.alone(latents))
    theirs = GaussianMixture(3, covariance_type=covariance)
    theirs.weights_, theirs.means_ = head.weights.numpy(), head.means.numpy()
    whole = head.covariances if covariance == "full" else head.covariances.diagonal(dim1=1, dim2=2)
    theirs.covariances_ = whole.numpy()
    if covariance == "full":
        theirs.precisions_cholesky_ = np.stack([
            np.linalg.inv(np.linalg.cholesky(one)).T for one in theirs.covariances_
        ])  # fmt: skip
    else:
        theirs.precisions_cholesky_ = theirs.covariances_**-0.5
    assert price(head, latents.double()) == pytest.approx(theirs.bic(latents.double().numpy()), rel=1e-9)
    assert price(CentresHead(3, 3), latents) is None


def test_a_summary_by_hand() -> None:
    rows = [np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])]
    fits = [
        Fit(2, seed, row, height, 10.0 + seed)
        for seed, (row, height) in enumerate(zip(rows, (0.1, 0.3, None), strict=True))
    ]
    found = summary(2, fits)
    odd = adjusted_rand_score(rows[0], rows[2])
    each = [(1 + odd) / 2, (1 + odd) / 2, odd]
    assert found.silhouette == pytest.approx((0.1 + 0.3 - 1) / 3)
    assert found.stability == pytest.approx(np.mean(each))
    assert found.error == pytest.approx(np.std(each, ddof=1) / 3**0.5)
    assert found.stability_spread == pytest.approx(np.std([1, odd, odd], ddof=1))
    assert (found.bic, found.bic_spread) == (pytest.approx(11.0), pytest.approx(1.0))
    assert isinstance(found, Count)
    assert found.used == 2
    assert found.weakest == pytest.approx((1 + 1 / 3) / 2)
    assert summary(3, [Fit(3, 0, 2 * rows[0], 0.1), Fit(3, 1, rows[0] + 1, 0.1)]).used == 2  # not the highest number


def test_the_network_is_trained_once_for_all_numbers(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    once = Latents.of(cluster.DCAEGMM(**SMALL), ds, 5, 0)
    assert once.how == "once, with the reconstruction alone"
    assert all("train_cluster" not in row for row in once.view.run.history)
    monkeypatch.setattr(cluster.DCAEGMM, "fit_run", lambda *_, **__: pytest.fail("trained again"))
    found = once.fit(3, 1)
    assert found.bic is not None
    assert found.silhouette == pytest.approx(
        silhouette_score(once.view.latents[once.view.some].astype(np.float64), found.labels)
    )  # fmt: skip
    assert not np.array_equal(once.fit(5, 1).labels, once.fit(5, 2).labels)
    assert np.array_equal(once.fit(5, 1).labels, once.fit(5, 1).labels)
    with pytest.raises(InputError, match="halved"):
        once.fit(80, 0)


def test_fits_are_kept_and_gone_on_from(tmp_path: Path) -> None:
    path, made = tmp_path / "fits", []

    def fit(k: int, seed: int) -> Fit:
        made.append((k, seed))
        return Fit(k, seed, np.arange(4) % k, 0.5 if k > 2 else None)

    first = Kept({"data": "a", "widths": (1, 2)}, path)
    for k in (2, 3):
        first.get(k, 0, lambda place, k=k: fit(k, 0))
        first.get(k, 0, lambda place, k=k: fit(k, 0))
    assert made == [(2, 0), (3, 0)]
    again = Kept({"data": "a", "widths": (1, 2)}, path)
    assert again.get(3, 0, lambda place: pytest.fail("made again")).labels.tolist() == [0, 1, 2, 0]
    assert again.get(2, 0, lambda place: pytest.fail("made again")).silhouette is None
    with pytest.raises(InputError, match="different data"):
        Kept({"data": "b", "widths": (1, 2)}, path)
    (path / "fits.json").write_text("{")
    with pytest.raises(InputError, match="no fits"):
        Kept({"data": "a", "widths": (1, 2)}, path)
    with pytest.raises(InputError, match="name a folder"):
        Kept({"data": "a", "widths": (1, 2)}, path / "fits.json")


def test_training_lies_in_a_folder_until_its_fit_is_kept(tmp_path: Path) -> None:
    kept = Kept({}, tmp_path / "fits")

    def fit(place: Path | None) -> Fit:
        assert place is not None
        place.mkdir()
        return Fit(2, 0, np.arange(4) % 2, None)

    kept.get(2, 0, fit)
    assert [path.name for path in (tmp_path / "fits").iterdir()] == ["fits.json"]
    assert Kept({}).place("network") is None


def test_a_network_given_as_a_module_is_trained_anew(ds: Dataset, tmp_path: Path) -> None:
    module = cluster.AEKMeans(2, **SMALL).fit(ds).net_
    model = cluster.AEKMeans(2, network=module, epochs=1, random_state=0)
    assert run_in(model, ds, tmp_path / "place").path is None
    assert not (tmp_path / "place").exists()


def test_a_mixture_is_priced_on_the_half_that_it_was_fitted_to(ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    once = Latents.of(cluster.DCAEGMM(**SMALL, covariance="diag", floor=0.2), ds, 5, 0)
    head = once.head(3)
    assert isinstance(head, MixtureHead)
    assert (head.clusters, head.diagonal, head.floor) == (3, True, 0.2)
    seeds: list[int] = []
    settle = MixtureHead.settle
    monkeypatch.setattr(MixtureHead, "settle", lambda head, group: (seeds.append(group.seed), settle(head, group))[1])
    monkeypatch.setattr(counts, "price", lambda head, part: float(len(part)))
    assert once.fit(3, 7).bic == 75
    assert seeds == [7]
