from __future__ import annotations

import struct
import zipfile

import numpy as np
import pytest

from nervure.data import load, npz
from nervure.errors import InputError

X = np.arange(10 * 6 * 6).reshape(10, 6, 6).astype(np.uint8)
Y = np.arange(10) % 2


@pytest.mark.parametrize("compressed", [False, True])
def test_train_and_test(write, compressed):
    path = write.npz("a.npz", compressed, x_train=X, y_train=Y, x_test=X[:4] + 1, y_test=Y[:4], names=["even", "odd"])
    ds = load(path)
    np.testing.assert_array_equal(ds.x[:, 0], np.concatenate([X, X[:4] + 1]))
    np.testing.assert_array_equal(ds.y, np.concatenate([Y, Y[:4]]))
    assert ds.names == ("even", "odd")
    assert ds.splits["test"].tolist() == [10, 11, 12, 13]
    assert set(ds.splits["train"]) | set(ds.splits["validation"]) == set(range(10))
    assert ds.source == str(path)


@pytest.mark.parametrize("key", ["x_validation", "x_val"])
def test_a_validation_split_is_kept(write, key):
    arrays = {
        "x_train": X,
        "y_train": Y,
        key: X[:3],
        key.replace("x", "y"): Y[:3],
        "x_test": X[:2],
        "y_test": Y[:2],
    }
    ds = load(write.npz("a.npz", **arrays))
    assert ds.splits["validation"].tolist() == [10, 11, 12]
    assert ds.splits["test"].tolist() == [13, 14]


def test_x_and_y_alone_are_split(write):
    ds = load(write.npz("a.npz", x=X, y=Y))
    assert {name: len(at) for name, at in ds.splits.items()} == {"train": 7, "validation": 1, "test": 2}


def test_without_labels_there_is_no_task(write):
    ds = load(write.npz("a.npz", x_train=X, x_test=X))
    assert (ds.task, ds.y, ds.names, len(ds.splits["test"])) == ("none", None, (), 10)


def test_one_set_of_an_archive(write):
    series = np.random.default_rng(0).random((10, 20)).astype(np.float32)
    padded = np.full((10, 2, 5), np.nan, np.float16)
    lengths = np.arange(10) % 5 + 1
    for row, length in enumerate(lengths):
        padded[row, :, :length] = 1
    arrays = {
        "names": np.array(["one", "two"]), "one/x_train": series, "one/y_train": Y,
        "one/x_test": series, "one/y_test": Y,
        "two/x": padded, "two/y": Y, "two/len": lengths, "two/labels": np.array(["a", "b"]),
    }  # fmt: skip
    path = write.npz("many.npz", **arrays)
    one = load(f"{path}:one")
    assert (one.kind, one.x.shape, one.names, len(one.splits["test"])) == (
        "series",
        (20, 1, 20),
        ("0", "1"),
        10,
    )
    two = load("many:two", data_dir=path.parent)
    assert two.names == ("a", "b")
    assert two.mask.sum(1).tolist() == lengths.tolist()
    assert np.isfinite(two.x).all()
    with pytest.raises(InputError, match=r"several sets; name one as many\.npz:NAME.*one, two"):
        load(path)
    with pytest.raises(InputError, match="no set 'onee'; did you mean 'one'"):
        load(f"{path}:onee")


def test_large_uncompressed_members_are_mapped(write, monkeypatch):
    monkeypatch.setattr(npz, "MAP_BYTES", 100)
    colour = np.random.default_rng(0).integers(0, 256, (10, 6, 7, 3), dtype=np.uint8)
    ds = load(write.npz("a.npz", x=np.asfortranarray(colour), y=Y))
    assert isinstance(ds.x, np.memmap)
    np.testing.assert_array_equal(ds.x, colour.transpose(0, 3, 1, 2))
    again = load(write.npz("b.npz", True, x=colour, y=Y))
    assert not isinstance(again.x, np.memmap)
    assert again.fingerprint == ds.fingerprint


def test_mosaics_are_refused_with_the_way_out(write):
    path = write.npz("cifar10.npz", x_train_jpg0=X, y_train=Y)
    with pytest.raises(InputError, match=r"mosaics.*benchmarks/unpack\.py"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": X}, "neither 'x_train' nor 'x'; its keys are z"),
        ({"x_test": X, "y_test": Y}, "neither 'x_train' nor 'x'"),
        ({"x": X, "y": Y[:5]}, "10 samples but 5 labels"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "has 'y_train' but no 'y_test'"),
        ({"x_train": X, "x_val": X, "x_validation": X}, "'val' and 'validation' both name the validation split"),
        ({"x": X[:0], "y": Y[:0]}, "holds no samples"),
        ({"x": np.float32(3), "y": Y}, "holds no samples"),
        ({"x": X, "y": Y, "names": ["a", "b", "c"]}, None),
        ({"x": X, "y": Y + 5, "names": ["a", "b"]}, "outside -1"),
        ({"x": X, "y": np.zeros(10, int)}, "only the class '0'"),
        ({"x_train": X, "x_test": X[:, :3]}, "unlike shapes"),
    ],
)
def test_bad_contents(write, arrays, message):
    path = write.npz("a.npz", **arrays)
    if message is None:
        assert load(path).classes == 3
        return
    with pytest.raises(InputError, match=message):
        load(path)


def test_names_in_bytes_are_words(write):
    assert load(write.npz("a.npz", x=X, y=Y, names=np.array([b"a", b"b"]))).names == ("a", "b")


def test_a_header_that_promises_more_than_there_is(write):
    path = write.folder / "a.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 12), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(InputError, match="'x' cannot be read"):
        load(path)


def test_objects_are_never_unpickled(write):
    path = write.npz("a.npz", x=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(InputError, match="Python objects, which are never unpickled"):
        load(path)
    np.save(write.folder / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects, which are never unpickled"):
        load(write.folder / "o.npy")


def test_damaged_files_are_refused(write):
    path = write.npz("a.npz", True, x=np.random.default_rng(0).random((50, 50)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.npz: cannot be read as an \.npz archive"):
        load(path)
    path.write_bytes(whole[:500] + b"\0" * 200 + whole[700:])
    with pytest.raises(InputError, match=r"a\.npz: 'x' cannot be read"):
        load(path)
    with pytest.raises(InputError, match=r"b\.npy: cannot be read as an \.npy file"):
        load(write.text("b.npy", "no array"))


@pytest.mark.parametrize(
    ("flags", "method", "message"),
    [(1, zipfile.ZIP_STORED, "encrypted"), (0, 97, "compression method")],
)
def test_members_that_cannot_be_unpacked_are_refused(write, flags, method, message):
    path = write.npz("a.npz", x=X)
    whole = bytearray(path.read_bytes())
    central = whole.index(b"PK\x01\x02")
    for place in (6, central + 8):  # of the member itself, and of the list at the end
        struct.pack_into("<HH", whole, place, flags, method)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=rf"a\.npz: 'x' cannot be read \(.*{message}"):
        load(path)


def test_npy_is_mapped_and_finds_its_labels(write):
    x = np.random.default_rng(0).random((10, 5))
    np.save(write.folder / "x.npy", x)
    ds = load(write.folder / "x.npy")
    assert (type(ds.x), ds.task, ds.kind) == (np.memmap, "none", "table")
    np.save(write.folder / "y.npy", Y)
    assert load(write.folder / "x.npy").task == "classification"
    np.save(write.folder / "other.npy", Y + 0.5)
    assert load(write.folder / "x.npy", labels=write.folder / "other.npy").task == "regression"
    batch = ds.batch([3, 1])
    expected = (x[[3, 1]] - x[ds.splits["train"]].mean(0)) / x[ds.splits["train"]].std(0)
    np.testing.assert_allclose(batch.x, expected, rtol=1e-4, atol=1e-6)
