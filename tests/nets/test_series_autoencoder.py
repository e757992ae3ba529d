"""Every shape and count of spec deepcluster, 2.3 and 9."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.series_autoencoder import series_autoencoder


def make(in_shape=(3, 30), **more):
    return nets.build("series-autoencoder", in_shape=in_shape, classes=5, **more)


@pytest.mark.parametrize(("encoder_fc", "params", "mmacs"), [("dense", 620_070, 7.7), ("flatten", 472_230, 7.5)])
def test_published_sizes(encoder_fc, params, mmacs):
    net = make(encoder_fc=encoder_fc)
    assert sum(parameter.numel() for parameter in net.parameters()) == params
    assert round(nets.count(net, (3, 30)).macs / 1e6, 1) == mmacs


def test_every_published_shape():
    """As the table has them, but (units, axes, time)."""
    net, seen = make(encoder_fc="dense", output="sigmoid"), []
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            module.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[1:])))
    out = net(torch.randn(2, 3, 30, generator=torch.Generator().manual_seed(0)))
    assert seen == [
        (32, 3, 21), (64, 3, 12), (128, 3, 3), (128, 1, 3), (384,), (5,),
        (384,), (128, 3, 3), (128, 3, 12), (64, 3, 21), (32, 3, 30), (1, 3, 30),
    ]  # fmt: skip
    assert out.shape == (2, 3, 30)
    assert 0 < float(out.detach().min()) < float(out.detach().max()) < 1


def test_axes_share_their_filters_until_they_are_fused():
    net = make().eval()
    x = torch.randn(2, 3, 30, generator=torch.Generator().manual_seed(0))
    turned = x[:, [2, 0, 1]]
    with torch.no_grad():
        # Unflatten, then three convolutions over time with their norm and activation: maps (n, units, axes, time).
        assert torch.allclose(net.encoder[:10](turned), net.encoder[:10](x)[:, :, [2, 0, 1]], atol=1e-6)
        assert not torch.allclose(net.encoder(turned), net.encoder(x), atol=1e-3)


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 10))
def test_any_window_with_room_for_the_kernels(axes, spare, kernel):
    time = 2 * (kernel - 1) + spare
    net = series_autoencoder((axes, time), 0, units=(3, 4), kernel=kernel)
    x = torch.zeros(2, axes, time)
    assert net(x).shape == x.shape
    assert net.encoder(x).shape == (2, net.latent)


@pytest.mark.parametrize(
    ("in_shape", "given", "message"),
    [
        ((3, 27), {}, r"at least 28 steps with kernel 10; these series have 27: give kernel=9 or less, or take"),
        ((3, 1), {}, r"give kernel=1 or less"),
        ((1, 28, 28), {}, "take conv-autoencoder"),
        ((6,), {}, "take autoencoder"),
        ((3, 30), {"units": []}, "no units"),
        ((3, 30), {"encoder_fc": "none"}, "encoder_fc='none'"),
        ((3, 720), {"encoder_fc": "dense"}, "a dense layer from 88704 to 88704 values"),
    ],
)
def test_bad_input_is_one_clear_line(in_shape, given, message):
    with pytest.raises(InputError, match=message):
        make(in_shape, **given)


def test_the_kernel_that_the_message_names_fits():
    assert make((3, 27), kernel=9).encoder(torch.zeros(2, 3, 27)).shape == (2, 5)
