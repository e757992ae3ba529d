import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.nets import blueprint as bp
from nervure.nets.chain import chain


def build(*layers, in_shape=(1, 8, 8), classes=2):
    return chain(bp.Blueprint(layers=(*layers, bp.Dense())), in_shape, classes)


def kinds(net):
    return [type(module).__name__ for module in (*net.features, *net.classifier)]


def test_order_of_norm_and_activation_and_who_has_a_bias():
    net = build(bp.Conv(units=3, norm="batch"), bp.Conv(units=3, norm="batch", order="conv-relu-bn"))
    assert kinds(net) == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Conv2d",
        "ReLU",
        "BatchNorm2d",
        "Flatten",
        "Linear",
    ]
    assert net.features[0].bias is None
    assert net.features[3].bias is not None
    assert build(bp.Conv(units=3, norm="batch", bias=True)).features[0].bias is not None


def test_a_pool_is_left_out_where_the_map_is_smaller_and_names_stay():
    layers = [bp.Conv(units=2), bp.Pool(), bp.Pool(), bp.Conv(units=2), bp.Pool()]
    small, large = build(*layers, in_shape=(1, 3, 4)), build(*layers, in_shape=(1, 16, 16))
    assert kinds(small) == [
        "Conv2d", "ReLU", "MaxPool2d", "Identity", "Conv2d", "ReLU", "Identity", "Flatten", "Linear",
    ]  # fmt: skip
    assert list(small.state_dict()) == list(large.state_dict())
    assert small.classifier[0].in_features == 2 * 1 * 2


def test_lenet_on_digits_pads_its_second_convolution():
    from nervure.nets.lenet import lenet5

    assert lenet5((1, 8, 8), 10).features[3].padding == (2, 2)
    assert lenet5((1, 10, 10), 10).features[3].padding == (0, 0)
    assert lenet5((1, 1, 1), 10)(torch.zeros(2, 1, 1, 1)).shape == (2, 10)
    original = lenet5((1, 28, 28), 10, activation="tanh", pooling="average")
    assert kinds(original)[:3] == ["Conv2d", "Tanh", "AvgPool2d"]


def test_one_dimension_for_series_none_for_tables():
    assert kinds(build(bp.Conv(units=2), bp.GlobalPool(), in_shape=(3, 9)))[:4] == [
        "Conv1d", "ReLU", "AdaptiveAvgPool1d", "Flatten",
    ]  # fmt: skip
    assert kinds(build(bp.Dropout(rate=0.1), bp.Dense(units=4), in_shape=(5,))) == [
        "Dropout", "Flatten", "Linear", "Linear",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "in_shape", "message"),
    [
        (bp.Conv(units=2, kernel=9, padding="valid"), (1, 8, 8), r"layer 0 \(conv\): its kernel"),
        (bp.Conv(units=3, groups=2), (2, 8, 8), "groups do not divide"),
        (bp.Conv(units=3, kernel=(3, 3)), (2, 8), "names 2 sizes; these samples have 1"),
        (bp.Conv(units=3), (8,), "needs images or series"),
        (bp.GlobalPool(), (8,), "needs images or series"),
    ],
)
def test_what_does_not_fit(layer, in_shape, message):
    with pytest.raises(InputError, match=message):
        build(layer, in_shape=in_shape)


def test_grouped_strided_convolution_by_hand():
    net = build(bp.Conv(units=4, kernel=3, stride=2, groups=2, padding=1), in_shape=(2, 7, 7))
    assert net.features[0].weight.shape == (4, 1, 3, 3)
    assert net.classifier[0].in_features == 4 * 4 * 4


def test_biases_start_at_zero_and_rectified_layers_he_uniform():
    net = build(bp.Conv(units=64, kernel=5), in_shape=(8, 8, 8))
    conv = net.features[0]
    assert not conv.bias.any()
    bound = (6 / (8 * 25)) ** 0.5
    assert 0.95 * bound < float(conv.weight.detach().abs().max()) <= bound
    assert isinstance(net.classifier[-1], nn.Linear)


class Seen(nn.Module):
    def __init__(self, seen: list[torch.Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return x


@pytest.mark.parametrize("channels", [1, 3])
def test_images_pass_through_with_the_channels_of_a_pixel_side_by_side(channels):
    layers = (bp.Conv(units=4, norm="batch"), bp.Pool(), bp.Conv(units=6), bp.Pool(kind="average"), bp.Dense())
    net, seen = chain(bp.Blueprint(layers=layers), (channels, 12, 8), 5), []
    for place in range(len(net.features) - 1, 0, -1):
        net.features.insert(place, Seen(seen))
    net.pixels_last = True
    x = torch.randn(7, channels, 12, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    out = net(x)
    assert len(seen) == 7
    assert all(one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous() for one in seen)
    plain = net.classifier(net.features(x))
    torch.testing.assert_close(out, plain)
    (found,), (wanted,) = (torch.autograd.grad(one.square().sum(), x) for one in (out, plain))
    torch.testing.assert_close(found, wanted)


def test_a_traced_network_does_not_hold_the_order_in_memory():
    net = chain(bp.Blueprint(layers=(bp.Conv(units=4), bp.Pool(), bp.Dense())), (3, 8, 8), 5).eval()
    net.pixels_last = True
    called = [str(node.target) for node in torch.export.export(net, (torch.zeros(2, 3, 8, 8),)).graph.nodes]
    assert any("conv2d" in name for name in called)
    assert not any("copy" in name or "clone" in name or "contiguous" in name or ".to." in name for name in called)
