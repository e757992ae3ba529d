"""Every count of spec neural-mixture-clustering, 4 and 9, and samples of any size."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.build import rebuild
from nervure.nets.mixture_cnn import mixture_cnn, mixture_layout
from nervure.nets.origin import origin_of
from nervure.nets.sobel import Sobel

MNIST, CIFAR, STL = (1, 28, 28), (3, 32, 32), (3, 96, 96)


def make(in_shape, classes=10, **more):
    return nets.build("mixture-cnn", in_shape=in_shape, classes=classes, **more)


def size(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("in_shape", "classes", "sobel", "params", "mmacs"),
    [
        (MNIST, 10, False, 771_882, 30),
        (CIFAR, 10, True, 1_309_578, 152),
        (CIFAR, 20, True, 1_473_428, 153),
        (STL, 10, True, 2_695_050, 1540),
        ((2,), 10, False, 1_482, 0),
    ],
)
def test_published_sizes_are_the_defaults_for_their_data(in_shape, classes, sobel, params, mmacs):
    net = make(in_shape, classes, sobel=sobel)
    assert size(net) == params
    assert round(nets.count(net, in_shape).macs / 1e6) == mmacs


@pytest.mark.parametrize(
    ("in_shape", "settings", "convs", "dense"),
    [
        ((1, 8, 8), {}, [32, 64], [32, 10]),
        (MNIST, {"width": 0.25}, [16, 32, 64], [32, 10]),
        (CIFAR, {"width": 0.25, "sobel": True}, [16, 16, 32, 32, 64, 64], [10]),
        ((3, 64, 64), {}, [64, 64, 128, 128, 256, 256, 256, 256], [10]),
        ((3, 30), {}, [64, 128, 256], [32, 10]),
        (MNIST, {"layout": "C32 M C64 M F128 F2 F"}, [32, 64], [128, 2, 10]),
    ],
)
def test_layers_by_size_and_by_settings(in_shape, settings, convs, dense):
    net = make(in_shape, **settings)
    held = [m for m in net.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    assert [conv.out_channels for conv in held] == convs
    assert all(conv.bias is None and conv.kernel_size[0] == 3 for conv in held)
    assert [m.out_features for m in net.classifier if isinstance(m, nn.Linear)] == dense
    with torch.no_grad():
        assert net.eval()(torch.zeros(2, *in_shape)).shape == (2, 10)


@settings(max_examples=12)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple))
def test_any_size_gives_one_score_for_each_cluster(in_shape):
    net = mixture_cnn(in_shape, 4, width=0.05).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, *in_shape)).shape == (2, 4)


def test_maps_are_at_most_12_wide_and_series_at_most_64_long_before_they_are_flattened():
    for side in (33, 64, 96, 100, 224):
        assert side // 2 ** mixture_layout((3, side, side)).count("M") <= 12
    for time in (1, 256, 257, 720, 5000):
        assert time // 2 ** mixture_layout((3, time)).count("M") <= 64


def test_the_embedding_is_what_the_scores_read():
    net = make(MNIST, width=0.1).eval()
    x = torch.randn(3, *MNIST, generator=torch.Generator().manual_seed(0))
    embedding = net.classifier[:-1](net.features(x))
    assert embedding.shape == (3, 32)
    torch.testing.assert_close(net.classifier[-1](embedding), net(x))


def test_images_pass_through_with_the_channels_of_a_pixel_side_by_side():
    net = nets.build("mixture-cnn", in_shape=MNIST, classes=4, width=0.1)
    for one in (net, copy.deepcopy(net), rebuild(origin_of(net))):
        seen = []
        one.features[0].register_forward_hook(lambda layer, given, out, seen=seen: seen.append(out))
        one(torch.zeros(2, *MNIST))
        assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_weights_before_a_rectifier_are_he_uniform():
    for module in make(MNIST).features:
        if isinstance(module, nn.Conv2d):
            bound = (6 / nn.init._calculate_fan_in_and_fan_out(module.weight)[0]) ** 0.5
            assert 0.98 * bound < float(module.weight.detach().abs().max()) <= bound


def test_sobel_comes_first_and_is_not_trained():
    net = make(CIFAR, sobel=True, width=0.1)
    assert isinstance(net.features[0], Sobel)
    assert net.features[1].in_channels == 2
    net(torch.randn(2, *CIFAR)).sum().backward()
    assert not net.features[0].edges.requires_grad


@pytest.mark.parametrize(
    ("in_shape", "given", "message"),
    [
        (MNIST, {"layout": "C64 X3 F"}, "'X3' is no layer; write C64"),
        (MNIST, {"layout": "C0 F"}, "'C0' is no layer"),
        (MNIST, {"layout": "C8 M"}, "the last layer must be dense"),
        (MNIST, {"layout": ""}, "the last layer must be dense"),
        (MNIST, {"layout": "F4 C8 F"}, "comes after a dense layer"),
        (MNIST, {"layout": "C8 F7"}, "this data needs"),
        ((3, 30), {"sobel": True}, "sobel reads images"),
        (MNIST, {"classes": 0}, "give classes="),
    ],
)
def test_bad_settings_are_one_clear_line(in_shape, given, message):
    with pytest.raises(InputError, match=message):
        make(in_shape, **given)
