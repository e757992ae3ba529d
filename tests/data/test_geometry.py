from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from nervure.data.geometry import backward_map, move, turn


def by_scipy(image, angle, factor, flip, down, across):
    """The same change by scipy, on one channel, in its own (down, across) order of axes."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    forward = turn @ (factor * np.diag([flip, 1.0]))
    back = np.linalg.inv(forward)[::-1, ::-1]
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - back @ (centre + np.array([down, across]))
    return ndimage.affine_transform(image, back, offset, order=1, mode="grid-constant", cval=0.0)


@pytest.mark.parametrize(
    "change",
    [
        (0.0, 1.0, 1.0, 2.0, -1.0),
        (0.4, 1.0, 1.0, 0.0, 0.0),
        (0.0, 1.3, 1.0, 0.0, 0.0),
        (0.0, 1.0, -1.0, 0.0, 0.0),
        (-0.7, 0.8, -1.0, 1.5, -2.25),
    ],
)
def test_agrees_with_scipy(change):
    image = np.random.default_rng(0).random((9, 12))
    arguments = [torch.tensor([value], dtype=torch.float64) for value in change]
    found = move(torch.from_numpy(image)[None, None], *backward_map(*arguments))[0, 0]
    np.testing.assert_allclose(found, by_scipy(image, *change), atol=1e-9)


def test_whole_pixels_and_flips_are_exact():
    image = torch.rand((1, 1, 6, 8), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    flipped = move(image, *backward_map(zero, one, -one, zero, zero))
    torch.testing.assert_close(flipped, image.flip(3))
    shifted = move(image, *backward_map(zero, one, one, 2 * one, -3 * one))
    torch.testing.assert_close(shifted[..., 2:, :5], image[..., :4, 3:])
    assert shifted[..., :2, :].abs().max() < 1e-12


def test_border_fills_with_the_edge():
    image = torch.ones(1, 1, 5, 5)
    one, zero = torch.ones(1), torch.zeros(1)
    assert move(image, *backward_map(zero, one, one, 3 * one, zero), "border").min() > 0.999


def test_quarter_turns_are_exact_and_each_sample_has_its_own():
    image = torch.rand((5, 2, 6, 6), generator=torch.Generator().manual_seed(0))
    quarters = torch.tensor([3, 0, 1, 2, 1])
    found = turn(image, quarters)
    for new, old, count in zip(found, image, quarters.tolist(), strict=True):
        assert np.array_equal(new, np.rot90(old.numpy(), count, (1, 2)))
    assert torch.equal(turn(found, (4 - quarters) % 4), image)
