"""Measures of whole networks against scikit-learn and numpy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import nn

from nervure import data, nets
from nervure.data import Dataset
from nervure.errors import DivergedError, InputError
from nervure.store import Run
from nervure.train import evaluate, predict


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(300))


@pytest.fixture(scope="module")
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=[12], seed=1)


def scores(net: nn.Module, ds: Dataset, split: str) -> np.ndarray:
    with torch.no_grad():
        return net.eval()(ds.batch(ds.splits[split]).x).double().numpy()


class TestClassification:
    def test_against_scikit_learn(self, ds: Dataset, net: nn.Module) -> None:
        found = evaluate(net, ds, split="train", device="cpu")
        labels, out = ds.y[ds.splits["train"]], scores(net, ds, "train")
        shares = np.exp(out) / np.exp(out).sum(1, keepdims=True)
        guess = out.argmax(1)
        assert found.metrics["accuracy"] == pytest.approx(oracle.accuracy_score(labels, guess))
        assert found.metrics["macro_f1"] == pytest.approx(oracle.f1_score(labels, guess, average="macro"))
        assert found.metrics["log_loss"] == pytest.approx(oracle.log_loss(labels, shares), rel=1e-5)
        assert found.metrics["parameters"] == sum(p.numel() for p in net.parameters())
        assert np.array_equal(found.evidence["confusion"].values, oracle.confusion_matrix(labels, guess))
        recall = oracle.recall_score(labels, guess, average=None)
        assert found.evidence["recall"].values[0] == pytest.approx(recall)
        assert (found.split, set(found.evidence)) == ("train", {"confusion", "recall", "calibration", "cost"})

    def test_unknown_labels_are_left_out(self, ds: Dataset, net: nn.Module) -> None:
        y = ds.y.copy()
        y[ds.splits["test"][::2]] = -1
        found = evaluate(net, dataclasses.replace(ds, y=y), device="cpu")
        assert found.evidence["confusion"].values.sum() == len(ds.splits["test"]) // 2
        with pytest.raises(InputError, match="no sample with a known label"):
            evaluate(net, dataclasses.replace(ds, y=np.full_like(y, -1)), device="cpu")

    def test_a_network_of_other_classes(self, ds: Dataset) -> None:
        with pytest.raises(InputError, match=r"outputs of shape \(7,\), the data has 10 classes"):
            evaluate(nets.build("mlp", ds, classes=7), ds, device="cpu")

    def test_batch_size_does_not_matter_and_nothing_is_changed(self, ds: Dataset, net: nn.Module) -> None:
        net.train()
        one, two = (evaluate(net, ds, batch=batch, device="cpu").metrics for batch in (7, 1000))
        assert one == pytest.approx(two, rel=1e-5)
        assert net.training
        with pytest.raises(InputError, match="no split named 'tets'"):
            evaluate(net, ds, split="tets")

    def test_a_network_in_training_is_measured_as_it_would_be_used(self, ds: Dataset) -> None:
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 10)
        )
        one, two = (evaluate(net.train(mode), ds, device="cpu").metrics for mode in (True, False))
        assert one == two


class TestNumbersThatAreNone:
    def test_the_layer_is_named(self, ds: Dataset) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
        net[1].weight.data[3] = float("nan")
        for given in (net, Run.of(net, ds)):
            for work in (evaluate, predict):
                with pytest.raises(DivergedError, match=r"digits: .* parameter '1.weight' is not finite"):
                    work(given, ds, device="cpu")

    def test_statistics_of_batch_norm(self, ds: Dataset) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
        net[2].running_var[1] = float("nan")
        with pytest.raises(DivergedError, match="buffer '2.running_var' is not finite"):
            evaluate(net, ds, device="cpu")

    def test_an_output_that_is_ruled_out_is_a_number(self, ds: Dataset, net: nn.Module) -> None:
        class Certain(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return nn.functional.one_hot(x.flatten(1).argmax(1) % 10, 10).log()

        assert 0 <= evaluate(Certain(), ds, device="cpu").metrics["accuracy"] <= 1


class TestOtherTasks:
    def test_regression(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
        ds = data.from_arrays(x, y, task="regression")
        net = nets.build("mlp", ds, widths=[4])
        found = evaluate(net, ds, device="cpu")
        target, out = y[ds.splits["test"]], scores(net, ds, "test")
        assert found.metrics["mae"] == pytest.approx(oracle.mean_absolute_error(target, out), rel=1e-5)
        assert found.metrics["rmse"] == pytest.approx(
            oracle.root_mean_squared_error(target.ravel(), out.ravel()), rel=1e-5
        )
        with pytest.raises(InputError, match="gives 5 outputs, the data has 2 targets"):
            evaluate(nets.build("mlp", ds, classes=5), ds, device="cpu")

    def test_reconstruction_leaves_padding_out(self) -> None:
        x = np.random.default_rng(0).normal(size=(20, 1, 8))
        x[::2, :, 5:] = np.nan
        ds = data.from_arrays(x, kind="series")
        net = nets.build("autoencoder", ds)
        found = evaluate(net, ds, split="train", device="cpu")
        batch = ds.batch(ds.splits["train"])
        with torch.no_grad():
            off = (net.eval()(batch.x) - batch.x).square()[:, 0]
        assert found.metrics["mse"] == pytest.approx(float(off[batch.mask].mean()), rel=1e-5)


def test_predict_keeps_the_order(ds: Dataset, net: nn.Module) -> None:
    at = np.array([5, 250, 3, 3])
    with torch.no_grad():
        expected = net.eval()(ds.batch(at).x).numpy()
    assert np.allclose(predict(net, ds, at, batch=3, device="cpu"), expected, atol=1e-6)
    with pytest.raises(InputError, match="no sample to predict"):
        predict(net, ds, np.array([], dtype=np.int64))


class TestClustering:
    """A network whose task is its own, with and without labels that are its own clusters."""

    class Grouped(nn.Module):
        task = "clustering"
        names = ("cluster 0", "cluster 1")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[:, 0], -x[:, 0]], dim=1).log_softmax(dim=1)

    def data(self, names: tuple[str, ...]) -> Dataset:
        x = np.array([[-2.0], [-1.0], [1.0], [3.0]])
        made = data.from_arrays(x, np.array([0, 0, 1, 0]), validation=0, test=0, standardize=False)
        return dataclasses.replace(made, names=names)

    def test_labels_are_matched(self) -> None:
        found = evaluate(self.Grouped(), self.data(("a", "b")), split="train", device="cpu")
        assert found.metrics["acc"] == 0.75
        assert found.metrics["clusters"] == 2
        assert "accuracy" not in found.metrics
        matched = found.evidence["matched"]
        assert matched.values.tolist() == [[2, 1], [0, 1]] and matched.columns == ("cluster 1", "cluster 0")

    def test_its_own_clusters_are_not(self) -> None:
        found = evaluate(self.Grouped(), self.data(("cluster 0", "cluster 1")), split="train", device="cpu")
        assert found.metrics["accuracy"] == 0.25
        assert "acc" not in found.metrics and "matched" not in found.evidence


class Prototypes(nn.Module):
    """Distances to learned places, which nothing counts."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(10, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(x.flatten(1), self.places)


def test_what_cannot_be_counted_is_measured_all_the_same(ds: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    found = evaluate(Prototypes(), ds, device="cpu")
    assert found.metrics["parameters"] == 640
    assert "accuracy" in found.metrics
    assert "macs" not in found.metrics
    assert "cost" not in found.evidence
    assert "no multiply-adds are measured: module '' (Prototypes) holds weights" in caplog.text
