from __future__ import annotations

import numpy as np
import pytest

from nervure.data import describe, from_arrays, load
from nervure.evidence import Bars, Curve, Images, Table


def cells(figure):
    return dict(figure.rows)


def test_images():
    ds = load("digits")
    table, images, bars = describe(ds, each=4)
    assert isinstance(table, Table)
    assert cells(table)["samples"] == 1797
    assert cells(table)["smallest value"] == 0
    assert cells(table)["largest value"] == 16
    assert cells(table)["shape of a sample"] == "1 x 8 x 8"
    assert isinstance(images, Images)
    assert (images.pictures.shape, images.pictures.dtype) == ((40, 1, 8, 8), np.uint8)
    assert images.pictures.max() == 255
    assert list(images.captions) == [str(digit) for digit in range(10) for _ in range(4)]
    assert isinstance(bars, Bars)
    assert bars.values.sum() == 1797
    np.testing.assert_array_equal(bars.values.sum(0), np.bincount(ds.y))
    assert all(figure.alt and figure.title for figure in (table, images, bars))


def test_series_with_missing_steps(waves):
    table, curve, bars = describe(waves)
    assert cells(table)["missing time steps"].endswith("%")
    assert isinstance(curve, Curve)
    assert curve.y.shape == (2, 12)
    assert np.isnan(curve.y).any()
    assert bars.series == ("train", "validation", "test")


def test_names_of_columns():
    x = np.random.default_rng(0).random((20, 12))
    assert "columns" not in cells(describe(from_arrays(x))[0])
    assert cells(describe(from_arrays(x[:, :2], columns=["age", "height"]))[0])["columns"] == "age, height"
    many = describe(from_arrays(x, columns=list("abcdefghijkl")))[0]
    assert cells(many)["columns"] == "a, b, c, d, e, f, g, ..., l"


def test_unlabelled_tables_and_floats():
    ds = from_arrays(np.random.default_rng(0).standard_normal((5000, 4)))
    (table,) = describe(ds)
    assert cells(table)["task"] == "none"
    assert "largest value (of 4096 samples)" in cells(table)
    table, images = describe(from_arrays(np.random.default_rng(0).standard_normal((40, 5, 6, 6))))
    assert images.pictures.shape == (28, 1, 6, 6)
    assert images.pictures.min() == 0


@pytest.mark.parametrize("shape", [(30, 1, 6, 6), (30, 2, 9)])
def test_where_no_label_is_known_the_first_samples_are_shown(shape: tuple[int, ...]) -> None:
    ds = from_arrays(np.random.default_rng(0).random(shape), np.full(30, -1), names=("a", "b"), validation=0, test=0)
    table, shown, _ = describe(ds)
    assert cells(table)["unknown labels"] == 30
    called = shown.captions if shown.kind == "images" else shown.labels
    assert list(called)[:2] == ["sample 0", "sample 1"]


def test_unknown_labels_are_counted():
    ds = from_arrays(np.random.default_rng(0).random((30, 4)), np.array([0, 1, -1] * 10))
    table, bars = describe(ds)
    assert cells(table)["unknown labels"] == 10
    assert bars.values.sum() == 20
