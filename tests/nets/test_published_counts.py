"""The exact parameter and operation counts that the specs print."""

import pytest
import torch
from torch import nn

from nervure import nets

CIFAR = (3, 32, 32)
MNIST = (1, 28, 28)


@pytest.mark.parametrize(
    ("name", "in_shape", "classes", "settings", "params"),
    [
        ("lenet5", MNIST, 10, {}, 61_706),
        ("lenet-300-100", MNIST, 10, {}, 266_610),
        ("small-cnn", CIFAR, 10, {}, 8_407_018),
        ("resnet20", CIFAR, 10, {}, 272_474),
        ("resnet32", CIFAR, 10, {}, 466_906),
        ("resnet50", (3, 224, 224), 1000, {}, 25_557_032),
        ("vgg16", CIFAR, 10, {"batch_norm": False}, 14_982_474),
        ("vgg16", CIFAR, 10, {"head_norm": True}, 14_991_946),
        ("vgg13", (3, 224, 224), 100, {"width": 0.5, "head": [512, 512], "conv_bias": False}, 5_656_900),
        ("autoencoder", (30,), 0, {"widths": [30, 20, 10], "latent": 5, "decoder_widths": [10, 20]}, 2_725),
    ],
)
def test_parameters(name, in_shape, classes, settings, params):
    net = nets.build(name, in_shape=in_shape, classes=classes, **settings)
    assert sum(p.numel() for p in net.parameters()) == params


@pytest.mark.parametrize(
    ("in_shape", "settings", "params"),
    [
        (MNIST, {}, 1_882_123),
        ((1, 16, 16), {"kernels": [4, 4, 2], "decoder_kernels": [2, 3, 3]}, 497_643),
        (CIFAR, {"kernels": [5, 5, 2]}, 4_647_821),
    ],
)
def test_convolutional_autoencoder(in_shape, settings, params):
    literal = {"encoder_fc": "dense", "decoder": "literal", "output": "sigmoid", "latent": 10}
    net = nets.build("conv-autoencoder", in_shape=in_shape, classes=0, **literal, **settings)
    assert sum(p.numel() for p in net.parameters()) == params
    out = net(torch.randn(2, *in_shape, generator=torch.Generator().manual_seed(0)))
    assert 0 < float(out.detach().min()) <= float(out.detach().max()) < 1


@pytest.mark.parametrize(
    ("in_shape", "widths", "weights"),
    [(MNIST, [1000, 1000, 1000], 2_794_000), (CIFAR, [4000, 1000, 4000], 20_328_000)],
)
def test_dense_weights_without_biases(in_shape, widths, weights):
    net = nets.build("mlp", in_shape=in_shape, classes=10, widths=widths)
    assert nets.weights(net) == weights


def test_small_cnn_is_mostly_dense():
    net = nets.build("small-cnn", in_shape=CIFAR, classes=10)
    assert sum(p.numel() for p in net.features.parameters()) == 287_008
    assert sum(p.numel() for p in net.classifier.parameters()) == 8_120_010


@pytest.mark.parametrize("order", ["conv-bn-relu", "conv-relu-bn"])
def test_vgg16(order):
    net = nets.build("vgg16", in_shape=CIFAR, classes=10, order=order)
    cost = nets.count(net, CIFAR)
    assert cost.ops == cost.macs == 313_463_808
    assert nets.weights(net, nn.Conv2d) == 14_710_464
    convs = [row for row in cost.rows if row.type == "Conv2d"]
    assert [row.ops for row in convs[:3]] == [1_769_472, 37_748_736, 18_874_368]
    assert sum(row.ops for row in convs[:12]) == 303_759_360
    # Biases as spec majority-voting-pruning, eq. 2.20, counts them: 2 H W (C_in K^2 + 1) C_out.
    flops = nets.count(net, CIFAR, unit="flop2", bias=True)
    assert flops.row(convs[0].name).ops == 2 * 32 * 32 * (3 * 9 + 1) * 64


def test_vgg16_with_two_hidden_layers_is_that_of_isparse():
    net = nets.build("vgg16", in_shape=CIFAR, classes=10, batch_norm=False, head=[512, 512], dropout="head")
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(15.25e6, abs=0.005e6)
    assert [type(m).__name__ for m in net.classifier] == [
        "Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "ops"), [("resnet20", 81_626_368), ("resnet32", 138_249_472)])
def test_thin_resnets(name, ops):
    net = nets.build(name, in_shape=CIFAR, classes=10)
    assert nets.count(net, CIFAR, unit="flop2").ops == ops


def test_resnet50_by_where_the_stride_is():
    shape = (3, 224, 224)
    first = nets.count(nets.build("resnet50", in_shape=shape, classes=1000), shape, unit="flop2")
    later = nets.count(nets.build("resnet50", in_shape=shape, classes=1000, stride_on="3x3"), shape, unit="flop2")
    assert f"{first.ops:.3e}" == "7.716e+09"
    assert f"{later.ops:.3e}" == "8.178e+09"
    assert first.params == later.params == 25_557_032


def test_stems():
    def kinds(**settings):
        net = nets.build("resnet18", classes=10, **settings)
        return [type(module).__name__ for module in net.stem], net.stem[0].kernel_size

    small = (["Conv2d", "BatchNorm2d", "ReLU"], (3, 3))
    large = (["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"], (7, 7))
    assert kinds(in_shape=(3, 63, 80)) == small
    assert kinds(in_shape=(3, 64, 64)) == large
    assert kinds(in_shape=(3, 32, 32), stem="large") == large
    assert kinds(in_shape=(3, 64, 64), stem="small") == small
