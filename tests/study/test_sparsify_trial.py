"""The trials of sparsifying, and the studies that use them: settings read, figures as printed, the smallest size."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from nervure import cluster, data, nets, sparsify
from nervure.errors import InputError
from nervure.study import table
from nervure.study.asked import Beside
from nervure.study.base import base_of
from nervure.study.settings import TrainSettings
from nervure.study.sparsify_nets import lenet5_32
from nervure.study.sparsify_trial import (
    SparsifySettings,
    TrainingSettings,
    by_edges,
    hits,
    sparsify_trial,
    training_trial,
)
from nervure.study.trials import Job, Measured, trials
from nervure.train import Recipe, predict

BASE = {"net": "mlp", "net_options": {"widths": [32]}, "recipe": {"epochs": 3, "lr": 5e-3}}
STUDIES = tuple(name for name in table.names() if table.load(name).trial in ("sparsify", "sparsify-training"))
SHAPES = ("synthetic-shapes", {"n": 200, "size": 32, "channels": 3})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def job(cache: str, **settings: object) -> Job:
    return Job("digits", settings={"base": BASE, "samples": 100, **settings}, device="cpu", cache=cache)


class TestWith:
    def test_measures_are_those_of_the_masked_network(self, cache: str) -> None:
        given = job(cache, criterion="magnitude", sparsity=[0.5, 0.9], beside={"random": {}, "magnitude": {}})
        found = sparsify_trial(given).metrics
        run, ds = base_of(given, None, BASE)
        thin = sparsify.plan(run.net, ds, "magnitude", 0.9).apply(run.net)
        at = ds.indices("test")
        right = (predict(thin, ds, at, device="cpu").argmax(1) == ds.y[at]).mean()  # type: ignore[index]
        assert found["accuracy 0.9"] == right
        assert found["accuracy_drop 0.9"] == pytest.approx(found["accuracy_base"] - right)
        assert found["sparsity 0.5"] == pytest.approx(0.5, abs=1e-3)
        assert found["bytes 0.9"] < found["bytes 0.5"] < found["bytes_base"]
        assert found["agreement magnitude 0.5"] == 1
        assert 0.4 < found["agreement random 0.5"] < 0.6
        assert 0 <= found["zeros_base"] < 0.1

    def test_initial_scores_hardly_matter_to_masks(self, cache: str) -> None:
        """Spec isparse, 6: masks of inf-fs and identity nearly agree, because scores of a softmax are nearly flat."""
        beside = {"identity": {"criterion": "isparse", "options": {"initial": "identity"}}, "magnitude": {}}
        found = sparsify_trial(job(cache, sparsity=[0.5], samples=2000, beside=beside)).metrics
        assert found["agreement identity 0.5"] > found["agreement magnitude 0.5"]
        assert found["agreement identity 0.5"] > 0.98

    def test_orders_are_held_against_the_usual_one(self, cache: str) -> None:
        beside = {"isparse": {}}
        given = {"sparsity": [0.8], "options": {"initial": "identity"}}
        usual = sparsify_trial(job(cache, **given, beside=beside | {"isparse": {"options": given["options"]}})).metrics
        assert usual["agreement isparse 0.8"] == 1
        back = sparsify_trial(
            job(cache, **given, plan={"order": "output-to-input"}, beside={"isparse": {"options": given["options"]}})
        ).metrics
        assert 0.5 < back["agreement isparse 0.8"] < 1

    def test_seconds_of_three_ways(self, cache: str) -> None:
        found = sparsify_trial(job(cache, criterion="random", sparsity=[0.9], seconds=True, batch=10)).metrics
        assert all(found[f"seconds_{way} 0.9"] > 0 for way in ("dense", "zeros", "edges"))


def test_by_edges_computes_the_same() -> None:
    net = nets.build("mlp", in_shape=(6,), classes=3, widths=[8], seed=0)
    thin = sparsify.plan(net, None, "random", 0.8).bake(net)
    x = torch.randn(5, 6)
    assert torch.allclose(by_edges(thin, x)(x), thin(x), atol=1e-6)


def test_hits_need_classes() -> None:
    ds = data.from_arrays(torch.zeros(40, 2).numpy(), torch.rand(40).numpy(), task="regression")
    with pytest.raises(InputError, match="needs labels of classes"):
        hits(nets.build("mlp", ds, widths=[4]), ds)


def test_samples_without_a_label_are_neither_right_nor_wrong() -> None:
    ds = data.load("digits")
    net = nets.build("mlp", ds, widths=[8])
    known = np.flatnonzero(np.arange(len(ds)) % 2)
    partly = dataclasses.replace(ds, y=np.where(np.arange(len(ds)) % 2, ds.y, -1))
    assert hits(net, partly, "cpu") == hits(net, ds.subset(known), "cpu")


def test_a_clusterer_is_held_against_itself(cache: str) -> None:
    """Its clusters are no classes: what counts is how many samples stay in theirs."""
    ds = data.load("digits")
    options = {"network": "autoencoder", "network_options": {"widths": [16]}, "epochs": 1, "device": "cpu"}
    model = cluster.DCAEKMeans(12, random_state=0, **options)
    model.fit_run(ds, out=Path(cache) / "groups")
    given = {"run": f"{cache}/groups", "samples": 100, "criterion": "magnitude", "sparsity": [0.9]}
    found = sparsify_trial(Job("digits", settings=given, device="cpu")).metrics
    assert found["accuracy_base"] == found["top5_base"] == 1
    at, thin = ds.indices("test"), sparsify.plan(model.run_.net, None, "magnitude", 0.9).bake(model.run_.net)
    one, two = (predict(net, ds, at, device="cpu").argmax(1) for net in (model.run_.net, thin))
    assert found["accuracy 0.9"] == (one == two).mean() < 1


class TestTraining:
    def trained(self, **settings: object) -> dict[str, float]:
        given = {"net": "mlp", "net_options": {"widths": [32]}, "recipe": {"epochs": 2, "lr": 5e-3}, **settings}
        return training_trial(Job("digits", settings=given, device="cpu")).metrics

    def test_the_dense_network_and_one_that_reaches_its_own(self) -> None:
        dense, l1 = self.trained(method="none"), self.trained(method="l1", settings={"strength": 1e-3})
        assert (dense["sparsity"], dense["accuracy"] > 0.5) == (0, True)
        assert 0 < l1["sparsity"] < 0.9

    def test_rates_are_trainings_of_their_own(self) -> None:
        found = self.trained(method="magnitude", sparsity=[0.5, 0.9])
        assert [found[f"sparsity {rate}"] for rate in (0.5, 0.9)] == pytest.approx([0.5, 0.9], abs=1e-3)
        assert found["accuracy 0.5"] == self.trained(method="magnitude", sparsity=[0.5])["accuracy 0.5"]
        assert found["accuracy 0.5"] >= found["accuracy 0.9"]

    def test_dropout_is_tested_dense(self) -> None:
        assert self.trained(method="dropout", sparsity=[0.5])["sparsity 0.5"] == 0

    def test_lottery_with_its_epochs_or_everybodys(self) -> None:
        recipe = {"epochs": 4, "lr": 5e-3}
        shared = self.trained(method="lottery", sparsity=[0.5], share_epochs=True, recipe=recipe)
        assert shared["sparsity 0.5"] == pytest.approx(0.5, abs=1e-3)


def test_lenet_brings_images_to_one_size() -> None:
    net = lenet5_32((1, 64, 64), 5)
    x = torch.randn(2, 1, 64, 64)
    blocks = x.view(2, 1, 32, 2, 32, 2).mean((3, 5))
    assert torch.allclose(net(x), net[1](blocks), atol=1e-6)  # type: ignore[index, operator]
    with pytest.raises(InputError, match="equal blocks"):
        lenet5_32((1, 40, 40), 5)


def test_a_base_of_a_function_is_loaded_again(cache: str, tmp_path: Path) -> None:
    training = {**BASE, "net": "nervure.study.sparsify_nets:lenet5_32", "net_options": {}, "recipe": {"epochs": 1}}
    given = Job("synthetic-shapes", {"n": 60, "size": 32}, {}, device="cpu", cache=str(tmp_path))
    first, second = (base_of(given, None, training)[0].net.state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("name", STUDIES)
def test_settings_of_every_arm_and_profile_are_read(name: str) -> None:
    study = table.load(name)
    for arm in study.arms:
        for profile in study.profiles:
            settings = study.trial_settings(arm, profile)
            if study.trial == "sparsify":
                read = SparsifySettings.read(settings)
                assert all(isinstance(one, Beside) for one in read.beside.values())
                base = TrainSettings.read(read.base or {})
                recipe = base.recipe
            else:
                own = TrainingSettings.read(settings)
                recipe = own.recipe
                assert own.method == "none" or own.method in sparsify.criteria.names()
            assert Recipe(**recipe).epochs >= 2  # type: ignore[arg-type]


def test_every_published_cell_is_there() -> None:
    """Spec isparse, 4: 90 cells by 5 methods with 15 bases and L1, Tables 4.2 and 4.3, and the text's figures."""
    printed = [(name, one) for name in STUDIES for one in table.load(name).figures]
    places = [one.place.rpartition(", ")[2] for _, one in printed]
    assert places.count("Table 4.1") == 90 * 5 + 15 * 3 + 2
    assert places.count("Table 4.2") == 93
    assert places.count("Table 4.3") == 60
    assert sum("(text" in place for place in places) == 7


def test_the_summary_of_the_published_cells_holds() -> None:
    """Spec isparse, 4: iSparse is above magnitude in 89 of 90 cells, by 1.10 points in the mean."""
    cells = []
    for name in STUDIES:
        of = {(one.arm, one.measure): one.value for one in table.load(name).figures if "Table 4.1" in one.place}
        cells += [value - of["magnitude", measure] for (arm, measure), value in of.items() if arm == "isparse"]
    assert (len(cells), sum(one > 0 for one in cells)) == (90, 89)
    assert sum(cells) / 90 == pytest.approx(1.10, abs=0.005)


@pytest.mark.parametrize(
    ("name", "arm", "measure", "value"),
    [
        ("sparsify-lenet5-mnist", "isparse", "accuracy 0.5", 99.0),
        ("sparsify-lenet5-norb", "dropout", "accuracy 0.05", 86.46),
        ("sparsify-vgg16-svhn", "lottery", "accuracy 0.3", 82.04),
        ("sparsify-resnet18-gtsrb", "l1", "sparsity", 44.51),
        ("sparsify-optimizers-vgg16-cifar10", "tanh-rmsprop isparse", "accuracy 0.4", 87.44),
        ("sparsify-initial-vgg16-cifar10", "pca", "accuracy 0.35", 81.56),
        ("sparsify-initial-resnet18-cifar10", "inf-fs", "accuracy 0.5", 74.21),
        ("sparsify-with-vgg16-imagenet", "magnitude", "accuracy_drop 0.5", 16),
    ],
)
def test_figures_are_those_printed(name: str, arm: str, measure: str, value: float) -> None:
    found = [one.value for one in table.load(name).figures if (one.arm, one.measure) == (arm, measure)]
    assert found == [value]


def small(name: str, arm: str, source: tuple[str, dict[str, object]], cache: str) -> Measured:
    """One trial of the smallest profile, on data that needs no file."""
    study = table.load(name)
    settings = study.trial_settings(arm, "smoke")
    return trials.get(study.trial)(Job(*source, settings, device="cpu", cache=cache))


@pytest.mark.parametrize(
    ("name", "arm", "source"),
    [
        ("sparsify-lenet5-mnist", "isparse", ("digits", {})),
        ("sparsify-lenet5-coil20", "l1", ("synthetic-shapes", {"n": 200, "size": 32})),
        ("sparsify-with-lenet5-mnist", "wanda", ("digits", {})),
        ("sparsify-orders-lenet5-mnist", "random", ("digits", {})),
        ("sparsify-times-lenet5-mnist", "isparse", ("digits", {})),
        ("sparsify-optimizers-lenet5-mnist", "tanh-rmsprop isparse", ("digits", {})),
        ("sparsify-initial-lenet5-mnist", "pca", ("digits", {})),
    ],
)
def test_a_trial_of_each_kind_gives_the_measures_that_its_study_shows(
    name: str, arm: str, source: tuple[str, dict[str, object]], cache: str
) -> None:
    shown = {one for one in table.load(name).measures if not one[-1].isdigit() or one.endswith(" 0.5")}
    found = set(small(name, arm, source, cache).metrics)
    if table.load(name).trial == "sparsify-training" and arm != "l1":
        shown -= {"accuracy", "sparsity"}
    if arm == "l1":
        shown -= {"accuracy 0.5"}
    assert shown <= found


# slow: VGG-16 and ResNet-18, the smallest of which train for seconds
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("sparsify-vgg16-cifar10", "lottery-equal"),
        ("sparsify-optimizers-vgg16-cifar10", "tanh-rmsprop isparse"),
        ("sparsify-initial-resnet18-cifar10", "pca"),
        ("sparsify-with-resnet18-cifar10", "snip"),
    ],
)
def test_deep_networks_at_their_smallest(name: str, arm: str, cache: str) -> None:
    assert "accuracy 0.5" in small(name, arm, SHAPES, cache).metrics
