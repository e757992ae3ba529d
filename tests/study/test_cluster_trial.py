"""The studies of clustering: each reads, what was printed is in them, and every kind of trial runs at its smallest."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from nervure import data, nets
from nervure.cluster import clusterers
from nervure.cluster.method import begin
from nervure.data import Dataset
from nervure.data import load as load_data
from nervure.errors import InputError
from nervure.study import cluster_data, table
from nervure.study.cluster_controls import CONTROLS, flat
from nervure.study.cluster_data import pooled, work_of
from nervure.study.cluster_measures import mapped
from nervure.study.cluster_trial import UNTRAINED, ClusterSettings, cluster_trial, fitted
from nervure.study.densities_trial import DensitiesSettings, densities_trial
from nervure.study.invariance_trial import InvarianceSettings, invariance_trial
from nervure.study.settings import TrialSettings
from nervure.study.trials import Job
from nervure.study.where import require_data

READERS: dict[str, type[TrialSettings]] = {
    one.trial: one for one in (ClusterSettings, InvarianceSettings, DensitiesSettings)
}
CLUSTERED = tuple(name for name in table.names() if table.load(name).trial in READERS)
SIDE_BY_SIDE = ("digits", "mnist", "usps", "fashion", "coil20", "cifar10", "cifar100-20", "stl10", "ucr", "mts")
SMALL = {"deep": {"epochs": 1, "network_options": {"widths": [8]}, "network": "autoencoder"}, "samples": 120}
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "usps": (1, 16, 16),
          "svhn": (3, 32, 32), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32), "stl10": (3, 32, 32),
          "coil20": (1, 32, 32), "ucr.npz": (1, 96), "mts.npz": (6, 30), "movement": (3, 30)}  # fmt: skip


def job(seed: int = 0, **settings: object) -> Job:
    return Job("digits", settings={**SMALL, **settings}, device="cpu", seed=seed)


@pytest.mark.parametrize("name", CLUSTERED)
def test_settings_of_every_arm_and_profile_are_read_and_their_estimators_made(name: str) -> None:
    study = table.load(name)
    assert set(study.profiles) == {"smoke", "cpu", "gpu", "published"}
    for arm in study.arms:
        for profile in study.profiles:
            settings = READERS[study.trial].read(study.trial_settings(arm, profile))
            if isinstance(settings, ClusterSettings) and settings.method not in CONTROLS:
                made = settings.estimator(samples=1000, clusters=10, seed=3, device="cpu")
                assert made.random_state == 3
                assert made.profile == ("paper" if profile == "published" else "robust")


@pytest.mark.parametrize("name", CLUSTERED)
def test_every_arms_network_and_recipe_fit_its_data(name: str) -> None:
    study = table.load(name)
    if study.trial == "cluster-densities":
        return
    shape = SHAPES[study.data.source]
    x = np.random.default_rng(0).random((30, *shape)).astype(np.float32)
    kind = "series" if len(shape) == 2 else "image"
    for arm in study.arms:
        settings = READERS[study.trial].read(study.trial_settings(arm, "cpu"))
        assert isinstance(settings, ClusterSettings)
        if settings.method in CONTROLS:
            continue
        vedba = bool(settings.options.get("vedba_length"))
        ds = data.from_arrays(x[:, :1] if vedba else x, kind=kind, validation=0, test=0, standardize="each-min-max")
        model = settings.estimator(len(ds), 3, 0, "cpu")
        labels = None if settings.supervision == "none" else np.arange(30) % 2
        _, method = model.prepared(ds, labels)
        assert nets.origin_of(begin(method, 3, ds)) is not None
        assert set(settings.recipe) <= set(method.recipe.to_json())


@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_methods_stand_side_by_side_with_their_controls(name: str) -> None:
    study = table.load(f"cluster-{name}")
    methods = {str(one["method"]) for one in study.arms.values()}
    assert methods == {*clusterers.names(), UNTRAINED, *CONTROLS} - (
        {"sobel-kmeans"} if name in ("ucr", "mts") else set()
    )
    assert not any("labels" in str(one) or "supervision" in one for one in study.arms.values())


def test_every_published_table_has_its_study() -> None:
    places = {one.place for name in CLUSTERED for one in table.load(name).figures}
    said = " ".join([*places, *(table.load(name).unpublished for name in CLUSTERED)])
    for chapter, number in ((3, "3.3"), (4, "4.3"), (4, "4.4"), (4, "4.5"), (4, "4.6"), (4, "4.7"), (7, "7.3")):
        assert f"Alqahtani, chapter {chapter}, Table {number}" in said
    for number in ("4.1", "4.3"):
        assert f"Tissera, chapter 4, Table {number}" in said


def test_made_up_movement_has_no_figure_beside_it() -> None:
    study = table.load("cluster-movement")
    assert study.published == ()
    assert "never to be compared" in study.unpublished
    assert "94.36/79.40" in study.unpublished


@pytest.mark.parametrize(
    ("name", "arm", "measure", "value"),
    [
        ("cluster-mnist", "raw-kmeans", "acc_all", 61.63),
        ("cluster-mnist", "dcae-kmeans", "acc_all", 93.42),
        ("cluster-mnist", "dcae-kmeans", "nmi_all", 86.78),
        ("cluster-mnist", "dcae-gmm", "acc_all", 96.78),
        ("cluster-mnist", "dcae-gmm", "nmi_all", 92.14),
        ("cluster-mnist", "aec", "nmi_all", 66.90),
        ("cluster-mnist", "random-network", "acc_all", 21.15),
        ("cluster-mnist", "raw-spectral", "nmi_arithmetic_all", 66.3),
        ("cluster-mnist", "iic", "acc_all", 95.72),
        ("cluster-mnist", "neural-mixture-em", "nmi_arithmetic_all", 95.67),
        ("cluster-mnist", "neural-mixture-two-fold", "acc_all", 98.88),
        ("cluster-usps", "dcec", "nmi_all", 82.57),
        ("cluster-usps", "dcae-gmm", "acc_all", 86.07),
        ("cluster-fashion", "dcae-gmm", "nmi_all", 72.41),
        ("cluster-fashion", "raw-gmm", "acc_all", 51.90),
        ("cluster-cifar10", "neural-mixture-two-fold", "acc_all", 57.97),
        ("cluster-cifar10", "deep-cluster", "acc_all", 37.4),
        ("cluster-cifar100-20", "iic", "nmi_arithmetic_all", 9.88),
        ("cluster-cifar100-20", "neural-mixture-two-fold", "acc_all", 25.94),
        ("cluster-stl10", "neural-mixture-two-fold", "acc_all", 63.84),
        ("cluster-stl10", "neural-mixture-em", "acc_all", 49.61),
        ("cluster-held-out-mnist", "dcae-gmm", "acc_test", 96.78),
        ("cluster-regularised-usps", "gbar 0.8/0.8/3e-4", "acc_all", 73.49),
        ("cluster-regularised-svhn", "da", "acc_all", 22.30),
        ("cluster-few-labels-mnist", "2000", "acc_test", 94.24),
        ("cluster-few-labels-mnist", "8000", "acc_test", 98.06),
        ("cluster-supervision-mnist", "supervised gbar 0.1/0.1/0", "acc_test", 84.04),
        ("cluster-supervision-usps", "supervised gbar 0.1/0.1/0", "acc_test", 95.51),
        ("cluster-supervision-fashion", "supervised", "acc_test", 88.73),
        ("cluster-supervision-mnist", "parents", "acc_test", 27.53),
        ("cluster-supervision-fashion", "parents gbar 0.8/0.8/3e-4", "acc_test", 63.59),
        ("cluster-supervision-svhn", "parents gbar 0.8/0.8/1e-6", "acc_test", 33.74),
        ("cluster-densities-mnist", "un-normalised", "h 6", 0.999),
        ("cluster-densities-mnist", "normalised", "h 10", 0.504),
    ],
)
def test_figures_are_those_printed(name: str, arm: str, measure: str, value: float) -> None:
    found = [one.value for one in table.load(name).figures if (one.arm, one.measure) == (arm, measure)]
    assert value in found


def test_absent_data_is_named_and_not_replaced() -> None:
    for name in ("cluster-regularised-svhn", "cluster-stl10"):
        with pytest.raises(InputError, match="needs the data '(svhn|stl10)'.*it is (svhn|stl10).npz"):
            require_data(table.load(name), None)


@pytest.mark.parametrize("method", [*CONTROLS, UNTRAINED, "dcae-kmeans", "neural-mixture"])
def test_every_kind_of_method_gives_finite_measures(method: str) -> None:
    deep = {"epochs": 1} if method in (UNTRAINED, "neural-mixture") else SMALL["deep"]
    found = cluster_trial(job(fit="train", method=method, deep=deep)).metrics
    assert all(math.isfinite(value) for value in found.values())
    wanted = {"acc_train", "nmi_train", "ari_train", "effective_clusters", "seconds", "samples"}
    if method != "raw-spectral":  # says nothing of new samples
        wanted |= {"acc_test", "nmi_test", "acc_mapped_test"}
    if method not in CONTROLS:
        wanted |= {"acc_refit_train", "acc_refit_test", "latent_spread", "epochs"}
    assert wanted <= set(found)
    assert found["samples"] == 120


def test_kmeans_is_that_of_scikit_learn_on_the_same_arrays() -> None:
    ds = load_data("digits", standardize="each-min-max")
    assert ds.y is not None
    rows = flat(ds)
    pixels = ds.x.reshape(len(ds), -1).astype(np.float32)
    low, high = pixels.min(axis=1, keepdims=True), pixels.max(axis=1, keepdims=True)
    assert np.allclose(rows, (pixels - low) / (high - low), atol=1e-6)
    clusters = KMeans(10, n_init=10, random_state=4).fit(rows).labels_
    given = Job("digits", {"standardize": "each-min-max"}, {"method": "raw-kmeans"}, seed=4, device="cpu")
    found = cluster_trial(given).metrics
    assert found["nmi_all"] == pytest.approx(normalized_mutual_info_score(ds.y, clusters, average_method="geometric"))
    assert found["nmi_arithmetic_all"] == pytest.approx(normalized_mutual_info_score(ds.y, clusters))
    assert found["ari_all"] == pytest.approx(adjusted_rand_score(ds.y, clusters))


@pytest.mark.parametrize("method", ["dcae-kmeans", "aec", "raw-gmm"])
def test_poisoned_labels_change_nothing_that_is_unsupervised(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ClusterSettings.read({**SMALL, "method": method})
    given = job(method=method)
    plain = work_of(given, settings)

    def poisoned(*args: object, **options: object) -> Dataset:
        ds = load_data(*args, **options)  # type: ignore[arg-type]
        assert ds.y is not None
        return dataclasses.replace(ds, y=np.random.default_rng(9).permutation(ds.y))

    monkeypatch.setattr(cluster_data.data, "load", poisoned)
    other = work_of(given, settings)
    assert not np.array_equal(plain.truth, other.truth)
    assert other.fitted.y is None
    assert other.labels is None
    if method in CONTROLS:
        found = [CONTROLS[method](one.fitted, [], one.clusters, 0)[0] for one in (plain, other)]
        assert np.array_equal(found[0], found[1])  # type: ignore[arg-type]
        return
    one, two = (fitted(given, settings, work) for work in (plain, other))
    mine, theirs = one.net_.state_dict(), two.net_.state_dict()
    assert all((mine[name] == theirs[name]).all() for name in mine)
    assert np.array_equal(one.predict(plain.fitted), two.predict(other.fitted))


def test_supervision_tells_what_it_says_and_no_more() -> None:
    def work(**settings: object) -> cluster_data.Work:
        return work_of(job(), ClusterSettings.read({"method": "dcae-kmeans", "fit": "train", **settings}))

    whole = work(supervision="labels")
    assert whole.labels is not None
    assert np.array_equal(whole.labels, whole.truth)
    parents = work(supervision="parents")
    assert np.array_equal(parents.labels, (parents.truth >= 5).astype(np.int64))
    assert parents.clusters == 10
    few, more = (work(supervision="labels", keep=count) for count in (100, 300))
    assert few.labels is not None
    assert more.labels is not None
    assert ((few.labels >= 0).sum(), (more.labels >= 0).sum()) == (100, 300)
    assert set(np.flatnonzero(few.labels >= 0)) <= set(np.flatnonzero(more.labels >= 0))
    alone = work(supervision="labels", keep=100, only_labelled=True)
    assert len(alone.fitted) == 100
    assert alone.labels is not None
    assert (alone.labels == alone.truth).all()
    assert alone.test is not None
    assert whole.test is not None
    assert len(alone.test) == len(whole.test)
    linked = work(links=7)
    assert linked.links is not None
    assert sum(map(len, linked.links.values())) == 7
    assert work(samples=50, groups=[0] * 5 + [1] * 5).clusters == 2


def test_equal_steps_for_any_number_of_samples() -> None:
    for samples in (2000, 8000):
        settings = ClusterSettings(method="dcae-kmeans", steps=4000, deep={"batch_size": 100})
        assert settings.estimator(samples, 10, 0, "cpu").epochs == 4000 // (samples // 100)


def test_later_parameters_win_and_recipes_are_changed() -> None:
    settings = ClusterSettings.read({
        "method": "dcae-kmeans", "deep": {"lr": 0.1, "epochs": 1},
        "parameters": {"lr": 0.2, "network": "autoencoder", "network_options": {"widths": [8]}},
        "recipe": {"optimizer": "sgd", "clip": 5.0}, "samples": 50,
    })  # fmt: skip
    model = fitted(job(), settings, work_of(job(), settings))
    recipe = next(one for one in reversed(model.run_.lineage) if one.name == "train").settings
    assert (recipe["lr"], recipe["epochs"], recipe["optimizer"], recipe["clip"]) == (0.2, 1, "sgd", 5.0)


def test_sets_and_folds_are_averaged() -> None:
    settings = {"method": "raw-kmeans", "fit": "train", "folds": 3, "options": {"n": 6000, "vedba_length": 50}}
    given = Job("movement", {"standardize": "min-max"}, settings, device="cpu")
    found = cluster_trial(given).metrics
    each = []
    for fold in range(3):
        ds = load_data("movement", n=6000, vedba_length=50, folds=3, fold=fold, validation=0.0, standardize="min-max")
        assert ds.y is not None
        train, test = ds.indices("train"), ds.indices("test")
        rows = flat(ds)
        clusters = KMeans(5, n_init=10, random_state=0).fit(rows[train]).predict(rows[test])
        each.append(normalized_mutual_info_score(ds.y[test], clusters, average_method="geometric"))
    assert found["nmi_test"] == pytest.approx(np.mean(each))
    assert found["acc_test_spread"] > 0


def test_pooled_images_are_means_of_squares() -> None:
    ds = load_data("digits")
    small = pooled(ds, 4)
    assert small.x[7, 0, 1, 0] == round(float(ds.x[7, 0, 4:, :4].mean()))
    assert small.x.dtype == ds.x.dtype
    with pytest.raises(InputError, match="cannot be pooled by 3"):
        pooled(ds, 3)


def test_mapped_counts_clusters_without_a_class_as_wrong() -> None:
    seen = np.array([0, 0, 1])
    assert mapped(seen, seen, np.array([0, 1, 1, -1]), np.array([0, 1, 2, 0])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "dcae-kmean"}, "trial 'cluster': unknown method 'dcae-kmean'; did you mean 'dcae-kmeans'"),
        ({"method": "raw-kmeans", "supervision": "labels"}, "raw-kmeans learns nothing and cannot be supervised"),
        ({"method": "dcae-kmeans", "keep": 3}, "keep and only_labelled are of labels"),
        ({"method": "dcae-kmeans", "folds": 5}, "folds are of one data set"),
        ({"method": "dcae-kmeans", "deep": {"epoch": 3}}, "unknown parameter 'epoch'; did you mean 'epochs'"),
        ({"method": "dcae-kmeans", "groups": [0, 1]}, "2 groups for 10 classes"),
    ],
)
def test_faults_are_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        cluster_trial(Job("digits", settings={"samples": 50, **settings}, device="cpu"))


def test_invariance_and_densities_run_at_their_smallest() -> None:
    settings = {"method": "dcae-kmeans", "deep": {"epochs": 1}, "fit": "train", "samples": 100, "images": 40}
    found = invariance_trial(Job("digits", settings=settings, device="cpu")).metrics
    assert set(table.load("cluster-invariance-mnist").measures) - {f"share convolution {n}" for n in (1, 2, 3)} <= set(
        found
    )
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    small = {"samples": 300, "epochs": 20, "lr": 3e-3, "supervised": {"epochs": 1}}
    measures = {}
    for normalise in ("batch", "none"):
        given = Job("digits", settings={**small, "normalise": normalise}, device="cpu")
        measures[normalise] = densities_trial(given).metrics
    assert set(table.load("cluster-densities-mnist").measures) <= set(measures["batch"])
    assert abs(measures["batch"]["h 6"] - 0.5) < 0.02
    assert measures["batch"]["h_spread"] < 0.04 < 0.2 < measures["none"]["h_spread"]
