from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from clusterers import clusterer
from nervure import data, nets
from nervure.errors import InputError
from nervure.prune.criteria.random import Random
from nervure.study.asked import Asked, accuracy, measured_on, numbered, widths
from nervure.train import evaluate


def test_layers_are_numbered_by_kind_and_inner_ones_alone() -> None:
    ds = data.load("digits")
    _, convs = numbered(nets.build("small-cnn", ds, width=0.125, head=[8, 8]), ds)
    assert list(convs) == [1, 2, 3, 4, 5, 6]
    assert [layer.units for layer in convs.values()] == [4, 4, 8, 8, 16, 16]
    _, dense = numbered(nets.build("small-cnn", ds, width=0.125, head=[8, 6]), ds, "dense")
    assert [layer.units for layer in dense.values()] == [8, 6]
    _, inner = numbered(nets.build("resnet20", ds, width=0.25), ds)
    assert len(inner) == 9
    assert all(layer.name.endswith("conv1") for layer in inner.values())


def test_no_layer_of_the_kind_is_said() -> None:
    ds = data.load("digits")
    with pytest.raises(InputError, match="no layer of kind 'conv' from number 1"):
        numbered(nets.build("mlp", ds, widths=[8]), ds, "conv")


def test_kept_numbers_scale_with_the_width_exactly() -> None:
    ds = data.load("digits")
    _, layers = numbered(nets.build("small-cnn", ds, width=0.25, head=[8]), ds)
    whole = (32, 32, 64, 64, 128, 128)
    assert list(widths((16, 10, 1, 64, 53, 128), layers, whole).values()) == [4, 2, 1, 16, 13, 32]
    for number, layer in layers.items():  # at the width they were meant for, numbers stay what they are
        units = layer.units
        assert [widths((k,), {number: layer}, (units,))[layer.name] for k in range(1, units + 1)] == [
            *range(1, units + 1)
        ]
    with pytest.raises(InputError, match="2 widths for 6 layers"):
        widths((1, 2), layers)


def test_the_seed_goes_to_criteria_that_have_one() -> None:
    draws = Asked(draws=3).made("random", 7)
    assert len({one.seed for one in draws if isinstance(one, Random)}) == 3
    assert Asked(criterion="random", options={"seed": 1}).made("mine", 7)[0].seed == 1  # type: ignore[attr-defined]


def test_accuracy_is_that_of_a_plain_loop() -> None:
    ds = measured_on(data.load("digits"), 40)
    net = nets.build("mlp", ds, widths=[8]).eval()
    at = ds.indices("test")
    with torch.no_grad():
        said = [int(net(ds.batch(np.array([one])).x).argmax()) for one in at]
    assert accuracy(net, ds, device="cpu") == pytest.approx(np.mean(np.array(said) == ds.y[at]))
    assert set(at) <= set(data.load("digits").indices("test"))


def test_samples_without_a_label_are_neither_right_nor_wrong() -> None:
    ds = data.load("digits")
    net = nets.build("mlp", ds, widths=[8]).eval()
    labels = np.where(np.arange(len(ds)) % 2, ds.y, -1)
    partly = dataclasses.replace(ds, y=labels)
    assert accuracy(net, partly, device="cpu") == evaluate(net, partly, device="cpu").metrics["accuracy"] > 0
    with pytest.raises(InputError, match="the split 'test' has no sample with a known label"):
        accuracy(net, dataclasses.replace(ds, y=np.full(len(ds), -1)))


def test_clusters_are_no_classes() -> None:
    net = clusterer("centres")
    ds = data.from_arrays(np.random.default_rng(0).random((40, 4), np.float32), np.arange(40) % 3)
    with pytest.raises(InputError, match="accuracy is of classes, and the network gives clusters"):
        accuracy(net, ds)
    assert 0 <= accuracy(net, dataclasses.replace(ds, names=net.names), device="cpu") <= 1
