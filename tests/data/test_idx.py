from __future__ import annotations

import numpy as np
import pytest

from nervure.data import load
from nervure.data.idx import read_idx
from nervure.errors import InputError

X = np.random.default_rng(0).integers(0, 256, (12, 5, 6), dtype=np.uint8)
Y = (np.arange(12) % 3).astype(np.uint8)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_folder_of_four_files(write, end):
    for part, rows in (("train", slice(0, 8)), ("t10k", slice(8, 12))):
        write.idx(f"m/{part}-images-idx3-ubyte{end}", X[rows])
        write.idx(f"m/{part}-labels-idx1-ubyte{end}", Y[rows])
    ds = load(write.folder / "m")
    np.testing.assert_array_equal(ds.x[:, 0], X)
    np.testing.assert_array_equal(ds.y, Y)
    assert ds.splits["test"].tolist() == [8, 9, 10, 11]
    one = load(write.folder / f"m/t10k-images-idx3-ubyte{end}", test=0.25, validation=0)
    assert (len(one), one.task) == (4, "classification")


def test_labels_beside_by_usual_names(write):
    write.idx("train-images.idx3-ubyte", X)
    write.idx("train-labels.idx1-ubyte.gz", Y)
    ds = load(write.folder / "train-images.idx3-ubyte")
    np.testing.assert_array_equal(ds.y, Y)
    assert isinstance(ds.x, np.memmap)


def test_without_labels(write):
    assert load(write.idx("pictures.idx", X)).task == "none"


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "float64"])
def test_other_types(write, dtype):
    array = np.arange(24).reshape(4, 6).astype(dtype)
    found = read_idx(write.idx("a.idx", array))
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file"),
        (b"\1\0\x08\1" + bytes(8), "no idx file .it begins with 01000801"),
        (b"\0\0\x07\1" + bytes(8), "no idx file"),
        (b"\0\0\x08\3\0\0", "ends within its header"),
        (b"\0\0\x08\1\0\0\0\5ab", "10 bytes long where its header announces 13"),
        (b"\0\0\x08\1\0\0\0\0", "holds no samples"),
    ],
)
def test_bad_files(write, content, message):
    path = write.folder / "a.idx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(path)


def test_damaged_gzip(write):
    path = write.idx("a.idx.gz", X)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="cannot be read as an idx file"):
        load(path)


def test_a_test_file_alone_and_missing_labels_are_refused(write):
    write.idx("m/t10k-images-idx3-ubyte", X)
    with pytest.raises(InputError, match="no train-images file"):
        load(write.folder / "m")
    write.idx("m/train-images-idx3-ubyte", X)
    write.idx("m/train-labels-idx1-ubyte", Y)
    with pytest.raises(InputError, match="no labels file beside it"):
        load(write.folder / "m")


def test_too_few_labels(write):
    write.idx("train-images-idx3-ubyte", X)
    write.idx("train-labels-idx1-ubyte", Y[:5])
    with pytest.raises(InputError, match="12 samples but 5 labels"):
        load(write.folder / "train-images-idx3-ubyte")
