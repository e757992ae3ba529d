import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from nervure import nets
from nervure.errors import InputError
from nervure.nets.autoencoder import AutoEncoder

WAVES = torch.sin(torch.arange(30) * torch.linspace(0.1, 0.5, 32)[:, None])[:, None] * torch.ones(1, 3, 1) / 2 + 0.5


@pytest.mark.parametrize(
    ("name", "settings", "rate", "steps", "x"),
    [
        ("autoencoder", {"widths": [64]}, 1e-2, 250, "digits"),
        ("conv-autoencoder", {"output": "linear"}, 5e-3, 300, "digits"),
        ("series-autoencoder", {"units": [8, 16, 32]}, 5e-3, 150, "waves"),
        ("dilated-autoencoder", {"units": 16}, 5e-3, 150, "waves"),
        ("dilated-autoencoder", {"units": 16, "pooling": "attention"}, 5e-3, 150, "waves"),
    ],
)
def test_32_samples_are_learned_by_heart(name, settings, rate, steps, x):
    """Spec deepcluster, S2: E1 falls to near zero, a few hundredths of what the mean of all samples leaves."""
    if x == "digits":
        x = torch.tensor(load_digits().images[:32, None] / 16, dtype=torch.float32)
    else:
        x = WAVES
    net = nets.build(name, in_shape=tuple(x.shape[1:]), classes=10, **{"output": "sigmoid", **settings})
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for _ in range(steps):
        loss = (net(x) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.03 * float(x.var(0).mean())


def test_the_latent_size_is_read_where_the_units_are():
    net = nets.build("autoencoder", in_shape=(6,), classes=4, widths=[8], latent_norm="batchnorm")
    assert net.latent == 4
    assert isinstance(net.encoder[-1], nn.BatchNorm1d)
    assert not net.encoder[-1].affine
    with pytest.raises(InputError, match="Flatten has no dense layer"):
        _ = AutoEncoder(nn.Flatten(), nn.Flatten()).latent


def test_the_dense_one_for_short_windows():
    """Spec deepcluster, 2.2: seven dense layers 30-20-10-5 and back, after one of 30."""
    net = nets.build("ts-autoencoder", in_shape=(1, 30), classes=5)
    assert [m.out_features for m in net.modules() if isinstance(m, nn.Linear)] == [30, 20, 10, 5, 10, 20, 30]
    assert sum(parameter.numel() for parameter in net.parameters()) == 2725
