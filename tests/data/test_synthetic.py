from __future__ import annotations

import numpy as np
import pytest
from skimage import measure as regions

from nervure.data import load, synthetic
from nervure.errors import InputError


def test_shapes_have_the_foreground_that_they_say():
    made = synthetic.shapes(100, 32, seed=1, noise=0.0, channels=3)
    assert made.images.shape == (100, 3, 32, 32)
    inside = np.array([image[:, mask].min() for image, mask in zip(made.images, made.masks, strict=True)])
    outside = np.array([image[:, ~mask].max() for image, mask in zip(made.images, made.masks, strict=True)])
    assert (inside > outside).all()
    for mask, label in zip(made.masks, made.labels, strict=True):
        labelled, count = regions.label(mask, return_num=True)
        assert count == 1
        one = regions.regionprops(labelled)[0]
        assert (one.euler_number == 0) == (synthetic.SHAPES[label] == "ring")
        if synthetic.SHAPES[label] in ("square", "disc"):
            assert one.solidity > 0.85
        if synthetic.SHAPES[label] == "cross":
            assert one.solidity < 0.85


def test_series_have_their_length_and_spectrum():
    made = synthetic.series(40, 256, seed=2, noise=0.0, channels=2)
    sine = made.values[made.labels == 0]
    power = abs(np.fft.rfft(sine * np.hanning(256))) ** 2
    assert (power[..., :8].sum(-1) / power.sum(-1) > 0.99).all()
    square = made.values[made.labels == 1]
    assert set(np.unique(square)) <= {-1.0, 0.0, 1.0}
    unequal = synthetic.series(40, 30, unequal=True)
    assert np.isfinite(unequal.values).all(axis=1).sum(axis=1).tolist() == unequal.lengths.tolist()
    assert unequal.lengths.min() >= 15


@pytest.mark.parametrize("name", ["synthetic-shapes", "synthetic-series"])
def test_the_seed_decides_and_nothing_global_does(name):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (load(name, n=20, generator_seed=seed) for seed in (3, 3, 4))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_sources_take_options():
    ds = load("synthetic-series", n=12, length=20, channels=2, unequal=True)
    assert (ds.in_shape, ds.names, ds.mask is not None) == ((2, 20), synthetic.WAVES, True)
    assert load("synthetic-shapes", n=10, size=16).in_shape == (1, 16, 16)
    with pytest.raises(InputError, match="size = 0"):
        load("synthetic-shapes", size=0)
    with pytest.raises(InputError, match="noise = -1"):
        load("synthetic-series", noise=-1)
