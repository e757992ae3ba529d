from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color

from nervure.data.colour import apply, hue_matrix, saturation_matrix


@pytest.mark.parametrize("turn", [-0.3, 0.05, 0.5])
def test_hue_agrees_with_scikit_image(turn):
    rgb = np.random.default_rng(0).random((20, 3))
    yiq = color.rgb2yiq(rgb)
    angle = 2 * np.pi * turn
    turned = yiq.copy()
    turned[:, 1] = np.cos(angle) * yiq[:, 1] - np.sin(angle) * yiq[:, 2]
    turned[:, 2] = np.sin(angle) * yiq[:, 1] + np.cos(angle) * yiq[:, 2]
    found = rgb @ hue_matrix(torch.tensor([turn], dtype=torch.float64))[0].numpy().T
    np.testing.assert_allclose(found, color.yiq2rgb(turned), atol=1e-6)


def test_saturation_between_grey_and_itself():
    rgb = np.random.default_rng(0).random((20, 3))
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    found = rgb @ saturation_matrix(torch.tensor([0.25], dtype=torch.float64))[0].numpy().T
    np.testing.assert_allclose(found, 0.25 * rgb + 0.75 * grey[:, None], atol=1e-6)


def test_apply_is_the_formula():
    rng = np.random.default_rng(0)
    x, matrix = rng.random((2, 3, 4, 5)), rng.random((2, 3, 3))
    contrast, brightness = np.array([0.5, 1.5]), np.array([1.2, 0.7])
    expected = np.einsum("nij,njhw->nihw", matrix, x)
    expected = brightness[:, None, None, None] * (contrast[:, None, None, None] * (expected - 0.3) + 0.3)
    found = apply(*map(torch.from_numpy, (x, matrix, contrast, brightness)), 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-12)
