import numpy as np
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from nervure.nets.sobel import Sobel


@given(st.integers(2, 9), st.integers(2, 9))
def test_planes_are_those_of_scipy(height, width):
    x = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(height * width))
    found = Sobel(1)(x).numpy()
    for image, planes in zip(x.double().numpy(), found, strict=True):
        for plane, axis in zip(planes, (1, 0), strict=True):
            assert np.allclose(plane, scipy.ndimage.sobel(image[0], axis=axis, mode="mirror"), atol=1e-5)


def test_a_constant_image_is_0_and_a_step_is_4_in_one_plane():
    """Spec neural-mixture-clustering, 10, point 12."""
    assert Sobel(3)(torch.full((1, 3, 6, 6), 0.7)).abs().max() < 1e-6
    x = torch.zeros(1, 3, 6, 6)
    x[..., 3:] = 1
    for turned, (edge, none) in ((x, (0, 1)), (x.transpose(2, 3), (1, 0)), (-x, (0, 1))):
        planes = Sobel(3)(turned)[0]
        assert torch.allclose(planes[edge].abs().max(), torch.tensor(4.0), atol=1e-5)
        assert planes[none].abs().max() < 1e-6


def test_grey_is_the_luma_of_three_channels_and_the_mean_of_others():
    x = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    assert torch.allclose(Sobel(3)(x), Sobel(1)(luma), atol=1e-5)
    assert torch.allclose(Sobel(2)(x[:, :2]), Sobel(1)(x[:, :2].mean(1, keepdim=True)), atol=1e-5)


def test_nothing_is_trained_or_stored_and_one_pixel_is_read():
    layer = Sobel(3)
    assert not list(layer.parameters())
    assert not layer.state_dict()
    assert not layer(torch.ones(1, 3, 1, 1)).any()
