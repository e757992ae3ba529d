from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import nervure.data as data
from nervure.data import Contents, load
from nervure.data.sources import formats, sources
from nervure.errors import InputError
from nervure.registry import Row


def test_digits_agree_with_scikit_learn():
    ds = load("digits")
    np.testing.assert_array_equal(ds.x[:, 0], load_digits().images)
    np.testing.assert_array_equal(ds.y, load_digits().target)
    assert ds.preprocessing.scale == 1 / 16
    batch = ds.batch(ds.splits["train"])
    assert abs(float(batch.x.mean())) < 1e-5
    assert abs(float(batch.x.std()) - 1) < 1e-3


def test_every_row_resolves():
    for table in (sources, formats):
        for name in table.names():
            assert callable(table.get(name))


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("digits", {"test": 0.3, "seed": 4, "standardize": False}),
        ("synthetic-series", {"n": 20, "unequal": True}),
        ("animals", {"size": 5, "validation": 0}),
        ("rows.csv", {"label": "label", "kind": "table"}),
        ("one.npz", {"layout": "hwc"}),
    ],
)
def test_source_and_options_give_it_again(write, source, settings):
    write.classes("animals")
    write.text("rows.csv", "a,b,label\n" + "1,2,x\n3,4,y\n5,7,x\n8,9,y\n" * 3)
    write.npz("one.npz", x=np.random.default_rng(0).random((9, 3, 5, 3)))
    ds = load(source, data_dir=write.folder, **settings)
    again = load(ds.source, **ds.options)
    assert again.fingerprint == ds.fingerprint
    assert again.preprocessing == ds.preprocessing
    assert settings.items() <= ds.options.items()


def test_splits_of_the_source_are_put_together_and_cut_anew(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, size=(40, 6, 6)).astype(np.uint8), np.arange(40) % 2
    path = tmp_path / "set.npz"
    np.savez(path, x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    given, whole = load(path), load(path, resplit=True, validation=0.0, test=0.0)
    assert {name: len(at) for name, at in whole.splits.items()} == {"train": 40}
    np.testing.assert_array_equal(given.x, whole.x)
    assert len(given.splits["test"]) == 10
    again = load(whole.source, **whole.options)
    assert (again.fingerprint, again.preprocessing) == (whole.fingerprint, whole.preprocessing)


def test_a_dataset_and_arrays():
    ds = load("digits")
    assert load(ds) is ds
    x = np.random.default_rng(0).random((20, 3, 15)).astype(np.float32)
    assert load(x, y=np.arange(20) % 2).kind == "series"
    assert load(torch.from_numpy(x)).fingerprint == load(x).fingerprint
    with pytest.raises(InputError, match="unknown option 'labels' for arrays"):
        load(x, labels=[1])


def test_a_bare_name_is_found_in_data_dir(write):
    write.npz("mnist.npz", x=np.random.default_rng(0).random((20, 6, 6)), y=np.arange(20) % 2)
    assert load("mnist", data_dir=write.folder).source == "mnist"
    assert load("mnist.npz", data_dir=str(write.folder)).in_shape == (1, 6, 6)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", "no source named 'digit', and no file or folder either; did you mean 'digits'"),
        ("no/such.npz", r"no/such\.npz: no such file or folder"),
        ("no/such.npz:NAME", "no such file"),
        ("~nobody-of-that-name/x", "no such file"),
        ("", "no source is called ''"),
        ([[1, 2]], "from_arrays takes lists"),
    ],
)
def test_what_is_not_there(source, message):
    with pytest.raises(InputError, match=message):
        load(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": "a"}, "validation = 'a'; give a valid number"),
        ({"seed": 0.5}, "seed = 0.5; give a valid integer"),
        ({"on_corrupt": "drop"}, "on_corrupt = 'drop'; give 'refuse' or 'skip'"),
    ],
)
def test_options_of_another_kind(options, message):
    with pytest.raises(InputError, match=message):
        load("digits", **options)


def test_numbers_of_numpy_are_numbers():
    assert json.dumps(load("digits", seed=np.int64(3), test=np.float64(0.5)).options) == '{"test": 0.5, "seed": 3}'


def test_what_is_not_there_in_data_dir(write):
    write.npz("mnist.npz", x=np.zeros((4, 6, 6)))
    with pytest.raises(InputError, match=r"neither as given nor in .*; did you mean 'mnist'"):
        load("mnsit", data_dir=write.folder)
    with pytest.raises(InputError, match="no such folder; give an existing one as data_dir"):
        load("mnist", data_dir=write.folder / "none")


def test_unknown_endings_and_options(write):
    with pytest.raises(InputError, match=r"end in '\.txt' are not read; known are \.npz"):
        load(write.text("a.txt", "1"))
    with pytest.raises(InputError, match="digits: unknown option 'sise'"):
        load("digits", sise=3)
    with pytest.raises(InputError, match="unknown option 'name'"):
        load(write.npz("a.npz", x=np.zeros((4, 6, 6))), name="x")


def test_another_package_adds_a_source(monkeypatch):
    row = Row(f"{__name__}:read_pairs", "two ones", "a test")
    monkeypatch.setitem(sources.__dict__, "rows", sources.rows | {"pairs": row})
    assert load("pairs", n=8).in_shape == (2,)


def read_pairs(*, n: int = 4) -> Contents:
    return Contents(x=np.ones((n, 2)), y=np.arange(n) % 2, where="pairs")


def test_the_room_imports_nothing_heavy():
    code = (
        "import sys, nervure.data; from nervure.data.load import load; import nervure.data.batches;"
        "room = nervure.data; assert all(map(callable, (room.load, room.batches, room.describe)));"
        "print(sorted({'sklearn', 'scipy', 'PIL', 'datasets', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_that_cannot_be_listed(write, monkeypatch):
    write.classes("animals")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"animals: cannot be read .*Permission denied"):
        load(write.folder / "animals")


def test_public_names():
    for name in data.__all__:
        assert getattr(data, name) is not None
