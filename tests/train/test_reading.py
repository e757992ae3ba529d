"""A run on other data than it was trained on: what is read its way, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from nervure import data, nets
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.store import Run, load, save
from nervure.train import Recipe, evaluate, fit, predict


@pytest.fixture(scope="module")
def animals() -> Dataset:
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 60)
    return data.from_arrays(rng.normal(size=(120, 3)) + 2 * y[:, None], y, names=["cat", "dog"])


@pytest.fixture(scope="module")
def run(animals: Dataset) -> Run:
    return fit(nets.build("mlp", animals, widths=[8]), animals, Recipe(epochs=20, batch=16, lr=0.01), device="cpu")


class TestOtherData:
    """A run reads data as the data that it was trained on, whatever the new data says of itself."""

    def test_its_own_data_is_read_as_by_its_network(self, run: Run, animals: Dataset) -> None:
        one, other = (evaluate(given, animals, device="cpu") for given in (run, run.net))
        assert one.metrics == other.metrics
        assert one.metrics["accuracy"] > 0.8
        assert np.array_equal(predict(run, animals, device="cpu"), predict(run.net, animals, device="cpu"))

    def test_other_classes_are_refused(self, run: Run, animals: Dataset) -> None:
        with pytest.raises(InputError, match="arrays: the run knows no class 'wolf'; there are: cat, dog"):
            evaluate(run, dataclasses.replace(animals, names=("wolf", "ape")), device="cpu")

    def test_classes_in_another_order_or_fewer(self, run: Run, animals: Dataset) -> None:
        turned = dataclasses.replace(animals, y=1 - animals.y, names=("dog", "cat"))
        one, other = (evaluate(run, given, device="cpu") for given in (animals, turned))
        assert one.metrics == other.metrics
        assert other.evidence["confusion"].rows == ("cat", "dog")
        dogs = dataclasses.replace(animals.subset(np.flatnonzero(animals.y == 1)), names=("dog",))
        dogs = dataclasses.replace(dogs, y=np.where(np.arange(len(dogs)) % 3, 0, -1))
        recall = evaluate(run, dogs, split="train", device="cpu").evidence["recall"].values[0]
        assert np.isnan(recall[0]) and recall[1] > 0.5

    def test_values_are_taken_as_they_are(self, run: Run, animals: Dataset) -> None:
        far = data.from_arrays(1000 * animals.x, animals.y, names=list(animals.names))
        said = predict(run, far, device="cpu")
        with torch.no_grad():
            expected = run.net(run.preprocessing(torch.from_numpy(1000 * animals.x)))
        assert np.allclose(said, expected.numpy(), rtol=1e-5)
        assert evaluate(run, far, split="train", device="cpu").metrics["accuracy"] < 0.8

    def test_bytes_are_taken_as_those_that_it_was_trained_on(self) -> None:
        ds = data.load("digits").subset(np.arange(60))
        run = Run.of(nets.build("mlp", ds, widths=[4]), ds)
        held = data.from_arrays(ds.x, ds.y)
        assert held.preprocessing.scale == 1 / 255 != ds.preprocessing.scale
        assert np.array_equal(predict(run, held, device="cpu"), predict(run, ds, device="cpu"))

    def test_picture_files_keep_their_range(self) -> None:
        x = np.random.default_rng(0).random((20, 1, 4, 4), dtype=np.float32)
        ds = data.from_arrays(x, np.arange(20) % 2, standardize=False)
        run = Run.of(nets.build("mlp", ds, widths=[4]), ds)
        drawn = data.from_arrays(np.round(x * 255).astype(np.uint8), np.arange(20) % 2)
        drawn = dataclasses.replace(drawn, items=tuple(f"{number}.png" for number in range(20)))
        assert np.allclose(predict(run, drawn, device="cpu"), predict(run, ds, device="cpu"), atol=0.02)

    def test_another_kind_task_or_number_of_channels(self, run: Run, animals: Dataset) -> None:
        wide = data.from_arrays(np.zeros((10, 4)), np.arange(10) % 2)
        for work in (evaluate, predict):
            with pytest.raises(InputError, match=r"holds table samples of shape \(4,\), the run reads table of \(3,\)"):
                work(run, wide, device="cpu")
        numbers = data.from_arrays(animals.x, animals.y.astype(np.float32), task="regression")
        with pytest.raises(InputError, match="its task is regression, that of the run is classification"):
            evaluate(run, numbers, device="cpu")
        unlabelled = data.from_arrays(animals.x)
        assert np.allclose(predict(run, unlabelled, device="cpu"), predict(run, animals, device="cpu"), atol=1e-5)

    def test_a_network_that_was_saved_alone_knows_of_no_data(self, animals: Dataset, tmp_path: Path) -> None:
        net = nets.build("mlp", animals, widths=[8])
        run = load(save(tmp_path / "r", net))
        assert np.array_equal(predict(run, animals, device="cpu"), predict(net, animals, device="cpu"))
        assert evaluate(run, animals, device="cpu").metrics == evaluate(net, animals, device="cpu").metrics

    def test_a_network_with_a_task_of_its_own_takes_labels_as_they_are(self, animals: Dataset) -> None:
        net = nets.build("mlp", animals, widths=[8], classes=1)
        net.task = "regression"
        run = Run.of(net, animals)
        assert run.task != animals.task
        assert evaluate(run, animals, device="cpu").metrics == evaluate(net, animals, device="cpu").metrics
