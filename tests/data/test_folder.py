from __future__ import annotations

import logging
import os
import struct

import numpy as np
import pytest
from PIL import Image

from nervure.data import load
from nervure.errors import InputError


def test_class_folders(write):
    ds = load(write.classes("animals"))
    assert (ds.x.shape, ds.x.dtype, ds.kind, ds.names) == ((10, 1, 6, 7), np.uint8, "image", ("cat", "dog"))
    assert ds.y.tolist() == [0] * 5 + [1] * 5
    assert ds.items[0] == "cat/00.png"
    assert (ds.x[5:] >= 150).all()
    assert (ds.x[:5] < 150).all()
    assert len(ds.subset([7, 2]).items) == 2


def test_split_folders(write):
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        write.classes(f"data/{part}", count)
    ds = load(write.folder / "data")
    assert {name: len(at) for name, at in ds.splits.items()} == {"train": 8, "validation": 4, "test": 6}
    assert all(ds.items[i].startswith("val/") for i in ds.splits["validation"])


@pytest.mark.parametrize("names", [("Training", "Valid", "Testing"), ("TRAIN", "validation", "TEST")])
def test_split_folders_in_other_spellings(write, names):
    for name, count in zip(names, (4, 2, 3), strict=True):
        write.classes(f"data/{name}", count)
    ds = load(write.folder / "data")
    assert {name: len(at) for name, at in ds.splits.items()} == {"train": 8, "validation": 4, "test": 6}
    assert ds.names == ("cat", "dog")


@pytest.mark.parametrize(("one", "other"), [("Train", "train"), ("train", "training")])
def test_two_folders_for_one_split_are_refused(write, one, other):
    for part in (one, other, "test"):
        write.classes(f"data/{part}", 2)
    with pytest.raises(InputError, match=f"data: '{one}' and '{other}' both name the train split; join them"):
        load(write.folder / "data")


@pytest.mark.parametrize("tops", [("train", "test", "dev"), ("cat", "dog", "test"), ("val", "test")])
def test_folders_of_which_only_some_are_splits_need_a_word(write, tops):
    for number, top in enumerate(tops):
        for one in range(4):
            write.image(f"data/{top}/{one}.png", np.full((4, 4), 40 * number + one, np.uint8))
    with pytest.raises(InputError, match=r"is named for a split, but .* splits=False, .*--data-option splits=false"):
        load(write.folder / "data")
    assert load(write.folder / "data", splits=False).names == tuple(sorted(tops))


def test_what_is_hidden_is_left_alone(write):
    for part in ("train", "test"):
        write.classes(f"data/{part}", 3)
        write.image(f"data/{part}/cat/.ipynb_checkpoints/00-checkpoint.png", np.zeros((6, 7), np.uint8))
        write.image(f"data/{part}/cat/more/.00.png", np.zeros((6, 7), np.uint8))
        write.image(f"data/{part}/cat/more/09.png", np.zeros((6, 7), np.uint8))
    write.classes("data/.cache", 3)
    ds = load(write.folder / "data")
    assert len(ds) == 14
    assert not any("/." in item for item in ds.items)


def test_a_folder_may_lie_in_a_hidden_one(write):
    assert len(load(write.classes(".mine/animals"))) == 10


def test_flat_folder_has_no_labels(write):
    for number in range(6):
        write.image(f"flat/{number}.png", np.full((4, 4), number, np.uint8))
    write.text("flat/notes.txt", "no image")
    ds = load(write.folder / "flat")
    assert (ds.task, ds.y, len(ds)) == ("none", None, 6)


def test_colour_grey_alpha_palette_and_sixteen_bits(write):
    grey = np.full((4, 5), 100, np.uint8)
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 0] = 200
    write.image("mixed/a.png", grey)
    write.image("mixed/b.png", red)
    write.image("mixed/c.png", np.dstack([red, np.full((4, 5), 9, np.uint8)]))
    Image.fromarray(red).quantize(4).save(write.folder / "mixed/d.png")
    write.image("mixed/e.png", np.full((4, 5), 100 * 256, np.uint16))
    ds = load(write.folder / "mixed", validation=0, test=0)
    assert ds.x.shape == (5, 3, 4, 5)
    assert ds.x[:, :, 0, 0].tolist() == [[100] * 3, [200, 0, 0], [200, 0, 0], [200, 0, 0], [100] * 3]


def test_fractions_are_scaled_from_one(write):
    ramp = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    for number in range(3):
        write.image(f"a/{number}.tif", ramp)
    assert load(write.folder / "a", validation=0, test=0).x[2, 0].tolist() == [[0, 51, 102], [153, 204, 255]]


def test_sixteen_bits_are_all_read(write):
    write.image("a/0.png", np.array([[0, 256], [32768, 65535]], np.uint16))
    write.image("a/1.tif", np.array([[0, 256], [32768, 65535]], np.uint16))
    write.image("a/2.tif", np.array([[0, 256], [32768, 65535]], np.int32))
    write.image("a/3.tif", np.array([[0, 256], [32768, 65535]], ">u2"))
    write.image("a/4.png", np.zeros((2, 2), np.uint16))
    ds = load(write.folder / "a", validation=0, test=0)
    assert ds.x[:, 0].tolist() == [[[0, 1], [128, 255]]] * 4 + [[[0, 0], [0, 0]]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 200]], np.float32), r"fractions from 0 to 200; bring them to 0 to 1"),
        (np.array([[-0.5, 0.5]], np.float32), r"fractions from -0.5 to 0.5"),
        (np.array([[np.nan, 0.5]], np.float32), r"fractions from nan to nan"),
        (np.array([[0, 70_000]], np.int32), r"whole numbers from 0 to 70000; .* 0 to 65535"),
        (np.array([[-1, 70]], np.int32), r"whole numbers from -1 to 70"),
        (np.array([[0, 255]], np.uint16), r"no value above 255, so it would be all black; save it in 8 bits"),
    ],
)
def test_values_that_would_be_lost_are_refused(write, values, message):
    write.image("a/one.tif", values)
    with pytest.raises(InputError, match=rf"one\.tif \(.*{message}"):
        load(write.folder / "a")


def test_turned_photographs_are_set_upright(write):
    pixels = np.zeros((4, 6), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(3):
        write.image(f"photos/{number}.png", pixels, exif=exif)
    ds = load(write.folder / "photos", validation=0, test=0)
    assert ds.x.shape == (3, 1, 6, 4)
    assert (ds.x[0, 0, :, -1] == 255).all()
    assert ds.x[0, 0].sum() == 255 * 6


def test_mixed_sizes_need_a_size(write):
    write.classes("a")
    write.image("a/cat/big.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(InputError, match=r"2 sizes \(10 of 6 x 7; cat/big.png is 20 x 30\); give a common size="):
        load(write.folder / "a")
    assert load(write.folder / "a", size=9).x.shape == (11, 1, 9, 9)
    assert load(write.folder / "a", size=(9, 12)).in_shape == (1, 9, 12)
    with pytest.raises(InputError, match="size = 0"):
        load(write.folder / "a", size=0)
    for size in ([1, 2, 3], [4]):
        with pytest.raises(InputError, match="give a side, or height and width"):
            load(write.folder / "a", size=size)


def test_resizing_agrees_with_a_mean(write):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    for number in range(3):
        write.image(f"a/{number}.png", np.full((8, 8), 80 * number, np.uint8) if number else pixels)
    ds = load(write.folder / "a", size=1, validation=0, test=0)
    assert ds.x[1:].flatten().tolist() == [80, 160]
    assert abs(int(ds.x[0, 0, 0, 0]) - pixels.mean()) < 25


def test_a_corrupt_image_is_named_and_skipped_only_if_asked(write, caplog):
    write.classes("a")
    (write.folder / "a/cat/02.png").write_bytes(b"\x89PNG broken")
    whole = (write.folder / "a/dog/01.png").read_bytes()
    (write.folder / "a/dog/01.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cat/02\.png .* and 1 more cannot be decoded.*on_corrupt='skip'"):
        load(write.folder / "a")
    with caplog.at_level(logging.WARNING):
        ds = load(write.folder / "a", on_corrupt="skip")
    assert len(ds) == 8
    assert "cat/02.png" not in ds.items
    assert ds.y.tolist() == [0] * 4 + [1] * 4
    assert "left out 2 of 10" in caplog.text
    with pytest.raises(InputError, match="on_corrupt = 'ignore'"):
        load(write.folder / "a", on_corrupt="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [TypeError(), KeyError(274), IndexError(), ZeroDivisionError()])
def test_damaged_metadata_is_a_corrupt_image(write, monkeypatch, error):
    write.classes("a")
    whole = Image.Image.getexif
    calls = iter([error])

    def getexif(picture):
        for one in calls:
            raise one
        return whole(picture)

    monkeypatch.setattr(Image.Image, "getexif", getexif)
    assert len(load(write.folder / "a", on_corrupt="skip")) == 9


def test_a_turned_picture_whose_exif_cannot_be_written_again(write):
    entries = [(0x0100, 2, 4, b"abc\0"), (0x0112, 3, 1, b"\0\6\0\0")]  # a width in words; turned
    rows = b"".join(struct.pack(">HHI", *head) + value for *head, value in entries)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + rows + bytes(4)
    for number in range(4):
        write.image(f"a/{number}.jpg", np.full((6, 6), 60 * number, np.uint8), **({"exif": exif} if number else {}))
    with pytest.raises(InputError, match=r"a: 1\.jpg .* and 2 more cannot be decoded"):
        load(write.folder / "a")
    assert load(write.folder / "a", on_corrupt="skip", validation=0, test=0).items == ("0.jpg",)


def test_nothing_left_after_skipping(write):
    write.text("a/one.png", "broken")
    with pytest.raises(InputError, match="no images that can be read"):
        load(write.folder / "a", on_corrupt="skip")


def test_empty_and_mixed_folders_are_refused(write):
    (write.folder / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no images"):
        load(write.folder / "empty")
    write.classes("a")
    (write.folder / "a/fish").mkdir()
    with pytest.raises(InputError, match="fish: this class folder holds no images"):
        load(write.folder / "a")
    (write.folder / "a/fish").rmdir()
    write.image("a/loose.png", np.zeros((6, 7), np.uint8))
    with pytest.raises(InputError, match=r"both pictures \(loose.png\) and folders \(cat\)"):
        load(write.folder / "a")


def test_one_class_only_is_refused(write):
    write.image("a/cat/1.png", np.zeros((4, 4), np.uint8))
    write.image("a/cat/2.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="only the class 'cat'"):
        load(write.folder / "a")
    assert load(write.folder / "a", task="none").y is None


def test_splits_with_and_without_classes_are_refused(write):
    write.classes("a/train")
    write.image("a/test/1.png", np.zeros((6, 7), np.uint8))
    with pytest.raises(InputError, match="class folders and some have none"):
        load(write.folder / "a")


def test_names_that_are_no_utf8_are_spelt_out(tmp_path):
    for name in (b"caf\xe9", b"the"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for one in (b"1", b"\xe9"):
            with open(os.path.join(folder, one + b".pgm"), "wb") as file:
                file.write(b"P5 2 1 255 ab")
    ds = load(tmp_path)
    assert ds.names == ("caf\\xe9", "the")
    assert ds.items == ("caf\\xe9/1.pgm", "caf\\xe9/\\xe9.pgm", "the/1.pgm", "the/\\xe9.pgm")
