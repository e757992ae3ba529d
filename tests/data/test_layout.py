from __future__ import annotations

import numpy as np
import pytest

from nervure.data.contents import Stacked
from nervure.data.layout import LAYOUTS, arrange
from nervure.errors import InputError


@pytest.mark.parametrize(
    ("shape", "dtype", "kind", "expected"),
    [
        ((5, 8, 9), "u1", "image", (5, 1, 8, 9)),
        ((5, 16, 16), "f4", "image", (5, 1, 16, 16)),
        ((5, 6, 30), "f4", "series", (5, 6, 30)),
        ((5, 8, 9, 3), "u1", "image", (5, 3, 8, 9)),
        ((5, 3, 8, 9), "u1", "image", (5, 3, 8, 9)),
        ((5, 3, 8, 3), "u1", "image", (5, 3, 8, 3)),
        ((5, 12, 8, 9), "f4", "image", (5, 12, 8, 9)),
        ((5, 40), "f4", "table", (5, 40)),
    ],
)
def test_guess(shape, dtype, kind, expected):
    x, found = arrange(np.zeros(shape, dtype), None, None, "here")
    assert (x.shape, found) == (expected, kind)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_stated_layout_moves_the_right_axis(layout):
    sizes = {"h": 5, "w": 6, "c": 3, "t": 7, "f": 8}
    rng = np.random.default_rng(0)
    x = rng.random((2, *(sizes[axis] for axis in layout)))
    found, kind = arrange(x, None, layout, "here")
    assert kind == LAYOUTS[layout]
    order = {"image": "chw", "series": "ct", "table": "f"}[kind]
    lack = [axis for axis in order if axis not in layout]
    full = x.reshape(2, *(1 for _ in lack), *x.shape[1:])
    axes = "n" + "".join(lack) + layout
    np.testing.assert_array_equal(found, np.einsum(f"{axes}->n{order}", full))
    assert np.shares_memory(found, x)


def test_parts_on_disk_are_arranged_each():
    parts = [np.zeros((2, 8, 9, 3), np.uint8), np.ones((3, 8, 9, 3), np.uint8)]
    x, _ = arrange(Stacked(parts), None, None, "here")  # type: ignore[arg-type]
    assert isinstance(x, Stacked)
    assert x[np.array([4])].shape == (1, 3, 8, 9)


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.zeros((0, 4)), {}, "holds no samples"),
        (np.zeros((4, 0)), {}, "hold no values"),
        (np.zeros(4), {}, "single number"),
        (np.array([["a"]]), {}, "not real numbers"),
        (np.zeros((4, 5), complex), {}, "not real numbers"),
        (np.zeros((4, 5)), {"kind": "image"}, "cannot be read as image"),
        (np.zeros((4, 5)), {"kind": "picture"}, "unknown kind"),
        (np.zeros((4, 5)), {"layout": "xy"}, "unknown layout"),
        (np.zeros((4, 5)), {"layout": "chw"}, "do not have the axes"),
        (np.zeros((4, 5)), {"layout": "t", "kind": "table"}, "not of kind"),
        (np.zeros((4, 5, 5, 5, 5)), {}, "cannot be read"),
    ],
)
def test_bad_shapes_are_refused(x, settings, message):
    with pytest.raises(InputError, match=message):
        arrange(x, settings.get("kind"), settings.get("layout"), "here")
