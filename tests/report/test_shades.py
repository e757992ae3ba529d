import re
from importlib import resources

import numpy as np
import pytest
from skimage.color import rgb2lab

from nervure.report import shades


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("end", [1, 2])
def test_equal_steps_look_equal_to_another_colour_space(mode, end):
    colours = shades.ramp(shades.ENDS[mode][0], shades.ENDS[mode][end], 11)
    lightness = rgb2lab(colours[None] / 255)[0, :, 0]
    steps = np.abs(np.diff(lightness))
    assert steps.min() > 0.6 * steps.max()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_ends_are_met_exactly(mode):
    low, high, _ = shades.ENDS[mode]
    colours = ["#" + bytes(one).hex() for one in shades.ramp(low, high, 5)]
    assert (colours[0], colours[-1]) == (low, high)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("below", [False, True])
def test_text_is_legible_on_every_shade(mode, below):
    low, high, negative = shades.ENDS[mode]
    first, other = ("#000000", "#ffffff") if mode == "light" else ("#ffffff", "#000000")
    for share, ground in zip(np.linspace(0, 1, 101), shades.ramp(low, negative if below else high, 101), strict=True):
        ink = other if share >= shades.crossing(mode, below) else first
        assert shades.contrast(ground, ink) > 4.5


def test_the_style_sheet_has_the_same_ends():
    css = resources.files("nervure.report").joinpath("page.css").read_text()
    found = re.findall(r"--heat-low: (#\w+); --heat-high: (#\w+); --heat-below: (#\w+);", css)
    assert found == [shades.ENDS["light"], shades.ENDS["dark"]]


def test_contrast_of_known_pairs():
    assert shades.contrast(np.array([255] * 3, np.uint8), "#777777") == pytest.approx(4.48, abs=0.01)


def test_a_palette_has_nothing_at_its_middle():
    colours = np.frombuffer(shades.palette("light"), np.uint8).reshape(256, 3)
    assert "#" + bytes(colours[127]).hex() == shades.ENDS["light"][0]
    assert "#" + bytes(colours[254]).hex() == shades.ENDS["light"][1]
    assert "#" + bytes(colours[0]).hex() == shades.ENDS["light"][2]


def test_shares_keep_sign_order_and_gaps():
    values = np.array([[-9.0, -1.0, 0.0, 1.0, np.nan, 9.0]])
    part = shades.shares(values)
    np.testing.assert_allclose(part[0, [0, 1, 2, 3, 5]], [-1, -1 / 3, 0, 1 / 3, 1])
    assert np.isnan(part[0, 4])
    assert (shades.shares(np.zeros((2, 2))) == 0).all()
