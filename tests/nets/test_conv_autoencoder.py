"""Every shape and count of spec deepcluster, 2.1 and 9, and images of any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.conv_autoencoder import conv_autoencoder

MNIST, USPS, SVHN = (1, 28, 28), (1, 16, 16), (3, 32, 32)
SAID = {"encoder_fc": "dense", "decoder": "literal", "output": "sigmoid"}
SHAPES = {
    MNIST: [
        (32, 14, 14), (64, 7, 7), (128, 3, 3), (1152,), (10,),
        (1152,), (128, 7, 7), (64, 14, 14), (32, 28, 28), (1, 28, 28),
    ],
    USPS: [
        (32, 8, 8), (64, 4, 4), (128, 2, 2), (512,), (10,),
        (512,), (128, 4, 4), (64, 8, 8), (32, 16, 16), (1, 16, 16),
    ],
    SVHN: [
        (32, 16, 16), (64, 8, 8), (128, 4, 4), (2048,), (10,),
        (2048,), (128, 8, 8), (64, 16, 16), (32, 32, 32), (3, 32, 32),
    ],
}  # fmt: skip
KERNELS = {MNIST: [5, 5, 3, 3, 5, 5, 1], USPS: [4, 4, 2, 2, 3, 3, 1], SVHN: [5, 5, 2, 2, 5, 5, 1]}


def size(net):
    return sum(parameter.numel() for parameter in net.parameters())


def held(net):
    return [module for module in net.modules() if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))]


def make(in_shape, **more):
    return nets.build("conv-autoencoder", in_shape=in_shape, classes=10, **more)


@pytest.mark.parametrize(
    ("in_shape", "encoder_fc", "decoder", "params", "mmacs"),
    [
        (MNIST, "dense", "literal", 1_882_123, 26.1),
        (MNIST, "flatten", "literal", 553_867, 24.8),
        (MNIST, "dense", "compact", 1_604_235, 8.0),
        (MNIST, "flatten", "compact", 275_979, 6.7),
        (USPS, "dense", "literal", 497_643, 3.6),
        (USPS, "flatten", "compact", 128_619, 1.1),
        (SVHN, "dense", "literal", 4_647_821, 36.0),
        (SVHN, "flatten", "compact", 216_077, 8.9),
    ],
)
def test_published_sizes_are_the_defaults_for_their_images(in_shape, encoder_fc, decoder, params, mmacs):
    net = make(in_shape, encoder_fc=encoder_fc, decoder=decoder)
    assert size(net) == params
    assert round(nets.count(net, in_shape).macs / 1e6, 1) == mmacs


@pytest.mark.parametrize("in_shape", SHAPES)
def test_every_published_shape_and_kernel(in_shape):
    net = make(in_shape, **SAID)
    seen = []
    for module in held(net):
        module.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[1:])))
    net(torch.zeros(2, *in_shape))
    assert seen == SHAPES[in_shape]
    assert [m.kernel_size[0] for m in held(net) if not isinstance(m, nn.Linear)] == KERNELS[in_shape]
    assert [m.stride[0] for m in held(net) if not isinstance(m, nn.Linear)] == [2, 2, 2, 2, 2, 2, 1]


def test_weights_are_xavier_uniform_and_biases_zero():
    for module in held(make(MNIST, **SAID)):
        inputs, outputs = nn.init._calculate_fan_in_and_fan_out(module.weight)
        bound = (6 / (inputs + outputs)) ** 0.5
        widest = float(module.weight.detach().abs().max())
        assert widest <= bound
        # The largest of 32 or more uniform draws is rarely below three quarters of the bound (0.75**32 = 1e-4).
        assert widest > 0.75 * bound
        assert not module.bias.any()


@settings(max_examples=15)
@given(st.integers(1, 3), st.lists(st.integers(1, 70), min_size=1, max_size=2), st.sampled_from(["flatten", "dense"]))
def test_any_size_is_given_back_with_few_weights(channels, sides, encoder_fc):
    in_shape = (channels, *sides)
    net = conv_autoencoder(in_shape, 0, encoder_fc=encoder_fc, decoder="compact").eval()
    x = torch.zeros(2, *in_shape)
    with torch.no_grad():
        assert net(x).shape == x.shape
        assert net.encoder(x).shape == (2, net.latent) == (2, 10)
    assert size(net) < 5_500_000


@pytest.mark.parametrize(("in_shape", "params"), [((3, 224, 224), 2_769_293), ((1, 5000), 2_360_971)])
def test_large_samples_get_more_layers_instead_of_large_dense_ones(in_shape, params):
    assert size(make(in_shape, **SAID)) == params


def test_dense_layers_that_would_fill_the_memory_are_refused():
    with pytest.raises(InputError, match=r"from 93312 to 93312 values .* leave units and kernels out"):
        make((3, 224, 224), units=[32, 64, 128], kernels=[5, 5, 3], encoder_fc="dense")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"units": [3], "kernels": [3, 3]}, "1 units, 2 kernels and 2 decoder kernels"),
        ({"units": []}, "give as many of each"),
        ({"kernels": [5, 5, 3], "decoder_kernels": [1, 1, 1]}, "a decoder kernel of 1 cannot lead from 3 to 7"),
        ({"latent_norm": "layer"}, "latent_norm='layer'; choose one of: 'none', 'batchnorm'"),
        ({"latent_activation": "tanh"}, "latent_activation='tanh'"),
        ({"in_shape": (6,)}, "take autoencoder"),
    ],
)
def test_bad_settings_are_one_clear_line(given, message):
    with pytest.raises(InputError, match=message):
        make(**{"in_shape": MNIST, **given})


def test_what_is_given_goes_before_the_rule():
    net = make(MNIST, units=[4, 6], latent=3, latent_activation="relu")
    assert [m.kernel_size[0] for m in held(net) if not isinstance(m, nn.Linear)] == [5, 2, 2, 5]
    assert net.latent == 3
    assert isinstance(net.encoder[-1], nn.ReLU)
    assert [m.kernel_size[0] for m in held(make(USPS, kernels=[4, 4, 2])) if m.weight.ndim > 2] == [4, 4, 2, 2, 4, 4]


@pytest.mark.parametrize("in_shape", [(1, 8, 8), (2, 40)])
def test_batch_norm_at_the_latent_keeps_mean_0_and_variance_1(in_shape):
    net = make(in_shape, latent_norm="batchnorm")
    h = net.encoder(torch.randn(64, *in_shape, generator=torch.Generator().manual_seed(0))).detach()
    assert torch.allclose(h.mean(0), torch.zeros(10), atol=1e-5)
    assert torch.allclose(h.var(0, correction=0), torch.ones(10), atol=1e-2)
    assert size(net) == size(make(in_shape))


def test_sigmoid_output_lies_in_0_and_1():
    out = make(USPS, output="sigmoid")(torch.randn(4, *USPS, generator=torch.Generator().manual_seed(0))).detach()
    assert 0 < float(out.min()) < float(out.max()) < 1
