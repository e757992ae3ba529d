"""The contract of every network in the table, ours and those of installed packages."""

import copy

import pytest
import torch

from nervure import nets
from nervure.errors import InputError

IMAGES = [((1, 8, 8), 10), ((3, 32, 32), 3), ((2, 17, 23), 2)]
SERIES = [((3, 20), 4), ((1, 5), 2)]
ANY = [((1, 8, 8), 10), ((3, 20), 4), ((6,), 2)]
FITS = {
    "mlp": ANY,
    "lenet-300-100": ANY,
    "autoencoder": [*ANY, ((6,), 0)],
    "conv-autoencoder": [*IMAGES, *SERIES, ((1, 8, 8), 0)],
    "ts-autoencoder": [*ANY, ((1, 30), 5)],
    "series-autoencoder": [((3, 30), 5), ((1, 28), 0)],
    "dilated-autoencoder": [*SERIES, ((2, 1), 0)],
    "mixture-cnn": [*IMAGES, *SERIES, ((2,), 10)],
    "series-cnn": SERIES,
    **{name: [((1, 16, 16), 10), ((3, 32, 32), 3)] for name in ("vgg13", "vgg16", "vgg19")},
}
# Widths that keep the contract quick; what is counted exactly is counted at full width elsewhere.
SMALL = {
    **{name: {"width": 0.1} for name in ("vgg13", "vgg16", "vgg19", "resnet18", "resnet50", "series-cnn")},
    "small-cnn": {"width": 0.2, "head": [20, 20]},
    "autoencoder": {"widths": [20, 15]},
    "conv-autoencoder": {"units": [4, 6, 8]},
    "series-autoencoder": {"units": [4, 6, 8]},
    "dilated-autoencoder": {"units": 6, "pooling": "attention"},
    "mixture-cnn": {"width": 0.1},
}
CASES = [(name, *fit) for name in nets.names() for fit in FITS.get(name, IMAGES)]


def make(name, in_shape, classes, **settings):
    return nets.build(name, in_shape=in_shape, classes=classes, **SMALL.get(name, {}), **settings)


@pytest.mark.parametrize(("name", "in_shape", "classes"), CASES)
def test_runs_forward_and_backward_and_rebuilds(name, in_shape, classes):
    net = make(name, in_shape, classes)
    assert net.training
    x = torch.randn(3, *in_shape, generator=torch.Generator().manual_seed(0))
    out = net(x)
    assert tuple(out.shape) == ((3, *in_shape) if "autoencoder" in name else (3, classes))
    out.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())

    origin = nets.Origin.from_json(nets.origin_of(copy.deepcopy(net)).to_json())
    again = nets.rebuild(origin)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(x), net.eval()(x))
    assert nets.origin_of(again) == origin


@pytest.mark.parametrize("name", nets.names())
def test_batch_norm_can_be_had_and_left_out(name):
    in_shape, classes = FITS.get(name, IMAGES)[0]
    norms = torch.nn.modules.batchnorm._BatchNorm

    def has(net):
        return any(isinstance(module, norms) for module in net.modules())

    assert has(make(name, in_shape, classes, batch_norm=True))
    assert not has(make(name, in_shape, classes, batch_norm=False))


@pytest.mark.parametrize("name", nets.names())
def test_seed_decides_the_weights(name):
    in_shape, classes = FITS.get(name, IMAGES)[0]
    one, same, other = (make(name, in_shape, classes, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", nets.names())
def test_cost_counts_all_parameters(name):
    in_shape, classes = FITS.get(name, IMAGES)[0]
    net = make(name, in_shape, classes)
    cost = nets.count(net, in_shape)
    assert cost.params == sum(p.numel() for p in net.parameters())
    assert cost.macs > 0
    assert cost.peak_activation_bytes > 0


@pytest.mark.parametrize("name", sorted(set(nets.names()) - set(FITS)))
def test_image_networks_refuse_series_with_a_hint(name):
    with pytest.raises(InputError, match=r"reads images .* take series-cnn or mlp"):
        nets.build(name, in_shape=(3, 150), classes=4)


def test_lenet_has_one_name_and_an_alias():
    assert nets.get("lenet-5") is nets.get("lenet5")
