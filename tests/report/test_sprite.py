import base64
import io

import numpy as np
import pytest
from PIL import Image

from nervure.report.sprite import as_pictures, encode, sheet


def decode(uri):
    head, _, content = uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize(("n", "height", "width"), [(1, 8, 8), (7, 8, 5), (30, 3, 11)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_stands_where_its_spot_says(n, height, width, channels):
    pictures = np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    made = sheet(pictures)
    image = decode(made.uri).reshape(*decode(made.uri).shape[:2], channels)
    whole = np.array([image.shape[1], image.shape[0]])
    own = np.array([width, height])
    np.testing.assert_allclose(made.size, 100 * whole / own)
    for picture, spot in zip(pictures, made.spots, strict=True):
        # CSS: a percentage p puts the point at p of the picture on the point at p of the sheet.
        left, top = np.rint(np.array(spot) / 100 * (whole - own)).astype(int)
        np.testing.assert_array_equal(image[top : top + height, left : left + width], picture)


def test_large_pictures_are_shrunk_and_compressed():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 120, 200, 3), dtype=np.uint8)
    made = sheet(pictures, side=60)
    assert made.shape == (36, 60)
    assert made.uri.startswith("data:image/jpeg")


@pytest.mark.parametrize(
    ("pictures", "shape"),
    [
        (np.zeros((2, 1, 4, 5), np.uint8), (2, 4, 5, 1)),
        (np.zeros((2, 3, 4, 5)), (2, 4, 5, 3)),
        (np.zeros((2, 4, 4, 5)), (2, 4, 5, 3)),
        (np.zeros((2, 2, 4, 5)), (2, 4, 5, 1)),
        (np.zeros((2, 4, 5)), (2, 4, 5, 1)),
        (np.zeros((4, 5)), (1, 4, 5, 1)),
        (np.zeros((0, 1, 4, 5)), (0, 1, 1, 1)),
        (np.zeros(3), (0, 1, 1, 1)),
    ],
)
def test_any_form_of_pictures(pictures, shape):
    found = as_pictures(pictures)
    assert found.shape == shape
    assert found.dtype == np.uint8


def test_shares_of_white_and_gaps():
    found = as_pictures(np.array([[[[0.0, 0.5, 1.0, np.nan]]]]))
    assert found.ravel().tolist() == [0, 128, 255, 0]
    assert as_pictures(np.array([[[[-4.0, 300.0]]]])).ravel().tolist() == [0, 255]


def test_a_palette_is_used():
    colours = bytes([9, 8, 7] * 256)
    image = Image.open(io.BytesIO(base64.b64decode(encode(np.zeros((2, 2), np.uint8), palette=colours).split(",")[1])))
    assert image.mode == "P"
    assert image.convert("RGB").getpixel((0, 0)) == (9, 8, 7)
