from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from nervure.data import load
from nervure.errors import InputError, MissingExtra

datasets = pytest.importorskip("datasets")


def pictures(count, side=6):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)) for _ in range(count)]


def test_saved_splits_of_images(tmp_path):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    parts = {
        name: datasets.Dataset.from_dict({"image": pictures(n), "label": [k % 2 for k in range(n)]}, features=features)
        for name, n in (("train", 8), ("test", 4))
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    ds = load(f"hf:{tmp_path / 'saved'}")
    assert (ds.x.shape, ds.names, ds.kind) == ((12, 1, 6, 6), ("a", "b"), "image")
    np.testing.assert_array_equal(ds.x[0, 0], np.asarray(pictures(1)[0]))
    assert ds.splits["test"].tolist() == [8, 9, 10, 11]
    assert load("hf:saved", data_dir=tmp_path, size=4).in_shape == (1, 4, 4)


def test_two_names_for_one_split_are_refused(tmp_path):
    one = datasets.Dataset.from_dict({"series": [[1.0, 2.0]], "label": [0]})
    datasets.DatasetDict({"train": one, "val": one, "validation": one}).save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match="'val' and 'validation' both name the validation split"):
        load(f"hf:{tmp_path / 'saved'}")


def test_saved_numbers(tmp_path):
    rows = {"series": [[float(k), 2.0, 3.0] for k in range(8)], "label": [k % 2 for k in range(8)]}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    ds = load(f"hf:{tmp_path / 'saved'}", kind="series")
    assert (ds.in_shape, ds.classes) == ((1, 3), 2)
    with pytest.raises(InputError, match="no column 'lab'; its columns are series, label"):
        load(f"hf:{tmp_path / 'saved'}", label="lab")


def test_a_local_folder_of_pictures(write, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write.classes("animals/train", 4)
    write.classes("animals/test", 2)
    ds = load(f"hf:{write.folder / 'animals'}")
    assert (ds.x.shape, ds.names, len(ds.splits["test"])) == ((12, 1, 6, 7), ("cat", "dog"), 4)


def test_what_cannot_be_loaded(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"hf:.*empty: cannot be loaded"):
        load(f"hf:{tmp_path / 'empty'}")
    datasets.Dataset.from_dict({"words": ["a", "b"]}).save_to_disk(tmp_path / "words")
    with pytest.raises(InputError, match="no column of images or numbers among words"):
        load(f"hf:{tmp_path / 'words'}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"nervure\[hub\]"):
        load("hf:anything")
