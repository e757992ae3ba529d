from __future__ import annotations

import numpy as np
import pytest

from nervure.data import from_arrays, load
from nervure.data.csv import read_points
from nervure.data.series import narrowed, numbers
from nervure.data.windows import windows

LARGE = [1_000_000_000 + n for n in range(30)]


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.csv", "t0,t1,label\n" + "".join(f"{n},{n},{n % 2}\n" for n in LARGE), {}),
        ("b.csv", "age,income,label\n" + "".join(f"{n},1,{n % 2}\n" for n in LARGE), {}),
        ("c.csv", "a,b\n" + "".join(f"{n},1\n" for n in LARGE), {"window": 1}),
        ("d.ts", "@classLabel true\n@data\n" + "".join(f"{n},{n}:{n % 2}\n" for n in LARGE), {}),
        ("e.arff", "@attribute t real\n@attribute c {0,1}\n@data\n" + "".join(f"{n},{n % 2}\n" for n in LARGE), {}),
    ],
)
def test_large_whole_numbers_stay_apart(write, name, text, options):
    ds = load(write.text(name, text), validation=0, test=0, **options)
    assert sorted(ds.x.reshape(30, -1)[:, 0].tolist()) == LARGE
    assert len(ds.batch(range(30)).x.flatten(1)[:, 0].unique()) == 30


def test_of_series_of_unequal_length_and_of_windows(write):
    assert from_arrays([[LARGE], [LARGE[:20]]], validation=0, test=0).x[0, 0].tolist() == LARGE
    points = read_points(write.text("a.csv", "a,b\n" + "".join(f"{n},1\n" for n in LARGE)))
    assert windows(points.values, length=2, stride=2, validation=0, test=0).x[0, 0].tolist() == LARGE[:2]


def test_words_and_none_in_lists_of_unequal_length():
    ds = from_arrays([[["1", "2"]], [[3.5, None, None]]], validation=0, test=0)
    assert (ds.x.dtype, ds.x[:, 0].tolist(), ds.mask.sum(1).tolist()) == (np.float32, [[1, 2, 0], [3.5, 0, 0]], [2, 1])


def test_what_float32_tells_apart_stays_float32():
    for words in (["0.1", "16777215"], ["0.123456789", "?"], ["1e-300", "123456.789"], ["16777218", "1e99"], []):
        assert numbers(words, "here").dtype == np.float32
    assert numbers(["16777217", "1e99", "nan"], "here").tolist()[:2] == [16777217, np.inf]
    assert narrowed(np.array([2**24 + 1])).dtype == np.float64
    assert narrowed(np.array([3, 4])).dtype == np.float32
